"""What an ended process means: its result, its exit status, the evidence of a failure."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbtorch.adapters.steps.base import MAX_OUTPUT, one_line
from dbtorch.core.events import Outcome
from dbtorch.core.evidence import Rule
from dbtorch.core.failure import asked_delay, classify
from dbtorch.core.state import FailureClass, State

_CODE = FailureClass.CODE

#: A command that leaves with this has nothing to do (Airflow's ``skip_on_exit_code``).
SKIP_STATUS = 99

#: Signals that come from outside; a shell reports its child's as 128 + n.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT)


def failed(message: str, failure_class: FailureClass, **more: Any) -> Outcome:
    """A failed attempt."""
    return Outcome(state=State.FAILED, message=message, failure_class=failure_class, **more)


def of_result(text: str, rules: Sequence[Rule] = ()) -> Outcome:
    """What a process wrote to ``DBTORCH_RESULT``; ``rules`` are the user's failure classes."""
    try:
        result = json.loads(text, parse_constant=_no_json)
        state = State(result["state"])
        if state is State.FAILED:
            return _of_failure(result, rules)
        if state is State.SKIPPED:
            return Outcome(state=state, message=str(result.get("message") or "skipped"))
        if state in (State.SUCCESS, State.WARN):
            return _with_output(state, result.get("output"), str(result.get("message") or ""))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
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
        message = f"killed by signal {number}{more}"
        found = classify([{"exit_status": 128 + number}], message, rules)
        unknown = found is FailureClass.UNKNOWN
        return failed(message, FailureClass.TRANSIENT if unknown else found)
    if status:
        message = f"exit status {status}{more}"
        return failed(message, classify([{"exit_status": status}], message, rules))
    if output is None:
        return failed(f"the process ended without a result{more}", FailureClass.UNKNOWN)
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


def _of_output(path: Path) -> Outcome:
    """What a command that ended well wrote to ``DBTORCH_OUTPUT``."""
    if not path.exists() or path.stat().st_size == 0:
        return Outcome(state=State.SUCCESS)
    size = path.stat().st_size
    if size > 16 * MAX_OUTPUT:  # not worth reading: white space alone cannot explain it
        return _too_large(size)
    try:
        output = json.loads(path.read_bytes(), parse_constant=_no_json)
    except ValueError as error:
        return failed(f"what the step wrote to DBTORCH_OUTPUT is not JSON: {error}", _CODE)
    return _with_output(State.SUCCESS, output, "")


def _no_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


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


def _of_failure(result: Mapping[str, Any], rules: Sequence[Rule]) -> Outcome:
    """Class of a failure: what the step itself says, else what its evidence says."""
    message = str(result.get("message") or "the step failed and did not say why")
    evidence = result.get("evidence") or []
    said = result.get("failure_class")
    after = result.get("retry_after")
    if after is None:
        after = asked_delay(evidence, datetime.now(UTC))
    found = FailureClass(said) if said and not evidence else classify(evidence, message, rules)
    return failed(message, found, retry_after=after, details=_details(evidence))


def _details(evidence: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not evidence or not evidence[0].get("classes"):
        return {}
    module, _, name = evidence[0]["classes"][0].rpartition(".")
    return {"exception": {"class": name, "module": module}}
