"""The process of one attempt of python, http or dbt_cloud, and of discovery.

It runs in the project's interpreter, where dbtorch may not be installed: standard library only,
Python 3.9 or later. What to do comes as JSON on standard input, what came of it goes to the file
``DBTORCH_RESULT``; standard output and error belong to the step.
"""

from __future__ import annotations

import os
import sys

# Python puts the folder of a script first on the path; nothing in this one is for a step.
_HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != _HERE]

import importlib  # noqa: E402
import importlib.util  # noqa: E402
import inspect  # noqa: E402
import json  # noqa: E402
import signal  # noqa: E402
import traceback  # noqa: E402
from datetime import datetime  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

#: Defines the decorator, the context and what a step may raise.
_STEP_FILE = Path(_HERE).parents[1] / "step.py"

#: Reads exceptions; the worker that executes dbt nodes has it, too.
_EVIDENCE_FILE = Path(_HERE).parent / "dbt" / "dbtorch_worker" / "evidence.py"

#: Characters of a message that anybody reads.
_MOST = 20_000

#: Exit status of a step that has nothing to do, also when it leaves through sys.exit().
_SKIP = 99


def main() -> None:
    """Do the job and leave its result."""
    me = os.getpid()
    job = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGTERM, _terminate)
    sys.meta_path.append(_Absent())
    try:
        result = {"state": "success", "output": _JOBS[job["kind"]](job)}
        text = json.dumps(result, allow_nan=False)
    except BaseException as error:
        text = json.dumps(_failed(error, told=job["kind"] == "python"))
    if os.getpid() == me:
        _leave(text)
        return
    print("a copy of this process (os.fork) ended where the step does; end it with os._exit")
    sys.stdout.flush()
    os._exit(0)  # what the step comes to is for the process that was started to say


def _python(job: dict[str, Any]) -> Any:
    """Call the function of a python step."""
    sys.path.insert(0, str(Path.cwd()))
    function = _function(job["function"])
    context = _context(job["context"])
    try:
        takes_none = not inspect.signature(function).parameters
    except ValueError:  # builtins do not say
        takes_none = False
    output = function() if takes_none else function(context)
    try:
        json.dumps(output, allow_nan=False)
    except (TypeError, ValueError) as error:
        kind = type(output).__name__
        raise _Wrong(f"what {job['function']} returned ({kind}) is not JSON: {error}") from None
    return output


def _function(name: str) -> Any:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            where = f"looked in {Path.cwd()} and the packages of {sys.executable}"
            raise _Wrong(f"there is no module {error.name!r} ({where})") from None
        raise
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise _Wrong(f"module {module_name!r} has no function {path!r}")
    return found


def _context(told: dict[str, Any]) -> Any:
    times = ("logical_date", "data_interval_start", "data_interval_end", "previous_success_end")
    values = {**told, "project_dir": Path(told["project_dir"])}
    for name in times:
        values[name] = datetime.fromisoformat(told[name]) if told[name] else None
    return _load("_dbtorch_step", _STEP_FILE).Context(**values)


def _http(job: dict[str, Any]) -> Any:
    """Send the request of an http step; only ever in dbtorch's own interpreter."""
    sys.path.append(job["root"])
    from dbtorch.adapters.steps import request

    return request.run(job["request"], job["context"])


def _dbt_cloud(job: dict[str, Any]) -> Any:
    """Run a job of the dbt platform; only ever in dbtorch's own interpreter."""
    sys.path.append(job["root"])
    from dbtorch.adapters.steps import dbt_cloud

    return dbt_cloud.run(job["request"], job["context"])


def _discover(job: dict[str, Any]) -> Any:
    """Import modules; answer every use of the decorator."""
    sys.path.insert(0, str(Path.cwd()))
    for name in job["modules"]:
        try:
            importlib.import_module(name)
        except BaseException as error:
            traceback.print_exc()
            text = _whole(f"{type(error).__name__}: {error}")
            raise _Wrong(
                f"{_place(error) or 'step_modules'}: cannot import {name}: {text}"
            ) from None
    found = getattr(sys.modules.get("dbtorch.step"), "declared", [])
    return [_plain(one) for one in found]


def _plain(declaration: Any) -> dict[str, Any]:
    """One use of the decorator, as JSON."""
    said = {**vars(declaration), "options": dict(declaration.options)}
    try:
        json.dumps(said, allow_nan=False)
    except (TypeError, ValueError) as error:
        place = f"{declaration.file}:{declaration.line}"
        raise _Wrong(f"{place}: what @dbtorch.step is given must be JSON: {error}") from None
    return said


_JOBS = {"python": _python, "http": _http, "dbt_cloud": _dbt_cloud, "discover": _discover}


class _Wrong(Exception):
    """The step was written wrongly; the text is one sentence."""

    dbtorch_outcome = "code"


class _Terminated(BaseException):
    """Raised where the step is when it is asked to stop, so that its clean-up runs."""

    dbtorch_outcome = "transient"


def _terminate(number: int, frame: Any) -> None:  # noqa: ARG001
    raise _Terminated(f"terminated by signal {number}")


class _Absent:
    """Finds ``dbtorch`` where it is not installed: the decorator, and what a step may raise."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name == "dbtorch":
            return importlib.util.spec_from_loader(name, self, is_package=True)  # type: ignore[arg-type]
        if name == "dbtorch.step":
            return importlib.util.spec_from_file_location(name, _STEP_FILE)
        return None

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        from dbtorch.step import Context, Fail, Retry, Skip, step

        vars(module).update(Context=Context, Fail=Fail, Retry=Retry, Skip=Skip, step=step)


def _failed(error: BaseException, *, told: bool) -> dict[str, Any]:
    """What an exception says about the attempt; its traceback goes to the log."""
    if isinstance(error, SystemExit):
        return _exited(error)
    outcome = getattr(error, "dbtorch_outcome", None)
    if told and (outcome is None or error.__cause__ or error.__context__):
        own = error.__traceback__
        while own and own.tb_next and own.tb_frame.f_code.co_filename == __file__:
            own = own.tb_next
        traceback.print_exception(type(error), error, own)
    if outcome is None:
        message = _whole(f"{type(error).__name__}: {error}".rstrip(": "))
        return {"state": "failed", "message": message, "evidence": _evidence(error)}
    message = _whole(str(error)) or type(error).__name__
    if outcome == "skipped":
        return {"state": "skipped", "message": message}
    after = getattr(error, "after", None)
    return {
        "state": "failed",
        "failure_class": outcome,
        "message": message,
        "evidence": getattr(error, "evidence", []),
        "retry_after": None if after is None else str(after),  # JSON has no infinity
    }


def _exited(error: SystemExit) -> dict[str, Any]:
    """A step that left through ``sys.exit()``, read as the exit status of a command."""
    if error.code in (None, 0):
        return {"state": "success", "output": None}
    if error.code == _SKIP:
        return {"state": "skipped", "message": f"exit status {_SKIP}"}
    if not isinstance(error.code, int):
        print(error.code, file=sys.stderr)
        return {"state": "failed", "message": _whole(str(error.code))}
    return {
        "state": "failed",
        "message": f"exit status {error.code}",
        "evidence": [{"exit_status": error.code}],
    }


def _evidence(error: BaseException) -> list[dict[str, Any]]:
    """The chain of causes, outermost first, as far as it decides about a retry."""
    links = _load("_dbtorch_evidence", _EVIDENCE_FILE).chain(error)
    return [{**link, "message": _whole(link["message"])} for link in links]


def _place(error: BaseException) -> str:
    """File and line of the project where an import went wrong, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if one.filename.startswith(str(Path.cwd()) + os.sep)]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def _whole(text: str) -> str:
    """The text as it was said: whoever reads it takes secrets out before anything is cut."""
    return text.strip()[:_MOST]


def _load(name: str, file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _leave(text: str) -> None:
    """Write the result so that it is there whole, or not at all."""
    path = Path(os.environ["DBTORCH_RESULT"])
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    main()
