"""Steps that are declared in Python: found by importing modules in the project's interpreter."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbtorch.adapters.config.loading import step_of
from dbtorch.adapters.processes.kept_process import KeeperLost, Process
from dbtorch.adapters.steps.base import CHILD, one_line
from dbtorch.core.config import Origin, StepSpec
from dbtorch.core.errors import ConfigError
from dbtorch.core.failures.scrub import Scrubber, secrets_of
from dbtorch.core.text.from_outside import Unreadable, json_value

#: Seconds that importing all modules may take.
_PATIENCE = 120.0

#: Seconds that a child which has taken too long has to end.
_GRACE = 2.0


def discover(
    modules: Sequence[str],
    *,
    python: str,
    project_dir: Path,
    pools: Collection[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> list[StepSpec]:
    """Steps declared with ``@dbtorch.step`` in these modules, in the order they were imported.

    ``pools`` are the names a step may mention, ``environ`` is what the modules see. Raises
    `ConfigError`, which names module and line.
    """
    if not modules:
        return []
    declared = _declared(modules, python, project_dir, environ)
    specs = [_spec(one, project_dir, pools) for one in declared]
    seen: dict[str, StepSpec] = {}
    for spec in specs:
        first = seen.setdefault(spec.name, spec)
        if first is not spec:
            raise _wrong(
                spec.origin.says(
                    f"step {spec.name} is declared at {first.origin} already; "
                    "give one of them another name=…"
                )
            )
    return specs


def _declared(
    modules: Sequence[str], python: str, project_dir: Path, environ: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What the child process found."""
    hide = Scrubber(secrets_of(environ))
    importing = f"step_modules: importing {', '.join(modules)}"
    with tempfile.TemporaryDirectory(prefix="dbtorch-") as folder:
        path, log = Path(folder) / "result.json", Path(folder) / "log"
        job = json.dumps({"kind": "discover", "modules": list(modules)})
        try:
            status = _child(python, project_dir, environ, job, path, log)
        except OSError as error:
            raise _wrong(f"step_modules: {python} cannot start: {error.strerror}") from error
        if status is None:
            raise _wrong(f"{importing} took longer than {_PATIENCE:g} s")
        if status != 0 or not path.exists():
            said = one_line(hide(log.read_text(encoding="utf-8", errors="replace"))[-300:])
            raise _wrong(f"{importing} ended the interpreter (exit status {status}): {said}")
        found = _read(path)
    if found is None:
        raise _wrong(f"{importing} left nothing that can be read")
    if isinstance(found, str):
        said = one_line(hide(found))
        raise _wrong(said.replace(f"{project_dir.resolve()}{os.sep}", ""))
    return found


def _read(path: Path) -> list[dict[str, Any]] | str | None:
    """What a child has found, or what went wrong; None for what is neither."""
    try:
        result = json_value(path.read_bytes())
        found = result["output"] if result["state"] == "success" else result["message"]
    except (OSError, Unreadable, KeyError, TypeError):
        return None
    return found if isinstance(found, (list, str)) else None


def _child(
    python: str, project_dir: Path, environ: Mapping[str, str], job: str, result: Path, log: Path
) -> int | None:
    """Let a child import the modules; its exit status, or None when it took too long."""
    process = Process(grace=_GRACE)
    patience = threading.Timer(_PATIENCE, process.cancel)
    patience.daemon = True
    patience.start()
    try:
        status = process.run(
            [python, str(CHILD)],
            cwd=project_dir,
            env={**environ, "DBTORCH_RESULT": str(result)},
            log=log,
            stdin=job,
            started=lambda: None,
        )
    except KeeperLost as error:
        raise _wrong(f"step_modules: importing failed: {error}") from error
    finally:
        patience.cancel()
    return None if process.cancelled else status


def _wrong(sentence: str) -> ConfigError:
    return ConfigError([sentence])


def _spec(declared: Mapping[str, Any], project_dir: Path, pools: Collection[str]) -> StepSpec:
    """What the declaration would be in ``dbtorch.yml``."""
    file, root = Path(declared["file"]), project_dir.resolve()
    if file.is_relative_to(root):
        file = file.relative_to(root)
    origin = Origin(file=str(file), line=declared["line"])
    function = declared["function"]
    if "<" in function:
        raise _wrong(origin.says(f"{function} is hidden in a function; move it to the module"))
    options = dict(declared["options"])
    name = str(options.pop("name", function))
    said = {"python": f"{declared['module']}:{function}", **options}
    if declared["description"]:
        said.setdefault("description", declared["description"])
    return step_of(name, said, origin, pools=pools)
