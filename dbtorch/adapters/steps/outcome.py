"""What an ended process means: its result, its exit status, the evidence of a failure."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.steps.base import MAX_OUTPUT, one_line
from dbtorch.core.failures.classify import asked_delay, classify
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.text.from_outside import json_value, number

if TYPE_CHECKING:
    from dbtorch.core.failures.evidence import Rule

_CODE = FailureClass.CODE
_UNKNOWN = FailureClass.UNKNOWN

#: Bytes of a step's file that are read at all.
_LARGEST = 16 * MAX_OUTPUT

#: A command that leaves with this has nothing to do (Airflow's ``skip_on_exit_code``).
SKIP_STATUS = 99

#: Signals that come from outside; a shell reports its child's as 128 + n.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT)


def failed(message: str, failure_class: FailureClass, **more: Any) -> Outcome:
    """A failed attempt."""
    return Outcome(state=State.FAILED, message=message, failure_class=failure_class, **more)


def of_process(
    status: int,
    *,
    result: Path,
    said: str,
    rules: Sequence[Rule] = (),
    hide: Callable[[str], str] = str,
) -> Outcome:
    """How a process ended that owes a result; ``rules`` are the user's failure classes.

    A success counts only together with the exit status 0 of the very process that was started: a
    copy of it may have said so, or what it is about may be lost in what came afterwards.

    ``hide`` takes secrets out of what it says, before that is put on one line and cut.
    """
    found = _of_result(result, rules, hide) if os.path.lexists(result) else None
    if found is not None and (status == 0 or found.state is State.FAILED):
        return found
    ended = of_exit(status, said=said, output=None, rules=rules)
    if found is None or ended.state in (State.FAILED, found.state):
        return ended
    return failed(f"{ended.message}, although it had said {found.state.value}", _UNKNOWN)


def _of_result(path: Path, rules: Sequence[Rule], hide: Callable[[str], str]) -> Outcome:
    """What a process wrote to ``DBTORCH_RESULT``."""
    try:
        result = json_value(_content(path))
        result["message"] = one_line(hide(str(result.get("message") or "")))
        state = State(result["state"])
        if state is State.FAILED:
            return _of_failure(result, rules, hide)
        if state is State.SKIPPED:
            return Outcome(state=state, message=_message(result) or "skipped")
        if state in (State.SUCCESS, State.WARN):
            return _with_output(state, result.get("output"), _message(result))
    except _TooLarge as error:
        return _too_large(error.size)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return failed(f"the step left an unreadable result: {error}", _CODE)
    return failed(f"the step left a result in state {state.value!r}", _CODE)


def of_exit(status: int, *, said: str, output: Path | None, rules: Sequence[Rule] = ()) -> Outcome:
    """What an exit status means; ``said`` is the last line of the log.

    ``output`` is where a command may have left JSON; None for a process that owes a result.
    """
    more = f": {said}" if said else ""
    if status == SKIP_STATUS:
        return Outcome(state=State.SKIPPED, message=f"exit status {status}{more}")
    number = -status if status < 0 else status - 128
    if status < 0 or number in _FROM_OUTSIDE:
        message = f"killed by {_name(number)}{more}"
        found = classify([{"exit_status": 128 + number}], message, rules)
        unknown = found is FailureClass.UNKNOWN
        return failed(message, FailureClass.TRANSIENT if unknown else found)
    if status:
        message = f"exit status {status}{more}"
        return failed(message, classify([{"exit_status": status}], message, rules))
    if output is None:
        return failed(f"the process ended without a result{more}", _UNKNOWN)
    return _of_output(output)


def last_line(log: Path) -> str:
    """The last line that says something, shortened; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((one_line(line, limit=200) for line in reversed(lines) if line.strip()), "")


def _name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _of_output(path: Path) -> Outcome:
    """What a command that ended well wrote to ``DBTORCH_OUTPUT``."""
    if not os.path.lexists(path):
        return Outcome(state=State.SUCCESS)
    what = "what the step wrote to DBTORCH_OUTPUT"
    try:
        content = _content(path)
        output = json_value(content) if content else None
    except _TooLarge as error:
        return _too_large(error.size)
    except OSError as error:
        return failed(f"{what} cannot be read: {error.strerror}", _CODE)
    except ValueError as error:
        return failed(f"{what} is not JSON: {error}", _CODE)
    return _with_output(State.SUCCESS, output, "")


class _TooLarge(Exception):
    """A file that is not worth reading: white space alone cannot explain its size."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _content(path: Path) -> bytes:
    """All of a file that a step has written. Raises `OSError`, `_TooLarge`.

    What is there may be anything: a folder, a pipe that nobody writes to, a device without an end.
    """
    with open(path, "rb", opener=_at_once) as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise _TooLarge(max(about.st_size, len(content)))
    return content


def _at_once(path: str, flags: int) -> int:
    """Open a file, and wait for nobody who would have to write to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _with_output(state: State, output: Any, message: str) -> Outcome:
    size = len(json.dumps(output, ensure_ascii=False).encode("utf-8", errors="replace"))
    if size > MAX_OUTPUT:
        return _too_large(size)
    return Outcome(state=state, output=output, message=message)


def _too_large(size: int) -> Outcome:
    return failed(
        f"the step's output has {size:,} bytes, more than the {MAX_OUTPUT:,} it may hand on; "
        "write it to a table or a file and return where it is",
        _CODE,
    )


def _of_failure(
    result: Mapping[str, Any], rules: Sequence[Rule], hide: Callable[[str], str]
) -> Outcome:
    """Class of a failure: what the step itself says, else what its evidence says."""
    message = _message(result) or "the step failed and did not say why"
    evidence = [
        {**link, "message": one_line(hide(str(link.get("message") or "")))}
        for link in result.get("evidence") or []
    ]
    said = result.get("failure_class")
    after = number(result.get("retry_after"))
    if after is None:
        after = asked_delay(evidence, datetime.now(UTC))
    found = FailureClass(said) if said and not evidence else classify(evidence, message, rules)
    return failed(message, found, retry_after=after, details=_details(evidence))


def _message(result: Mapping[str, Any]) -> str:
    """What a step says; half a character, as in names of files, can be written nowhere."""
    return str(result.get("message") or "").encode(errors="backslashreplace").decode()


def _details(evidence: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not evidence or not evidence[0].get("classes"):
        return {}
    module, _, name = evidence[0]["classes"][0].rpartition(".")
    return {"exception": {"class": name, "module": module}}
