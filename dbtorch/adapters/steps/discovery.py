"""Steps that are declared in Python: found by importing modules in the project's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbtorch.adapters.config import ConfigError, step_of
from dbtorch.adapters.steps.base import CHILD, one_line
from dbtorch.core.config import Origin, StepSpec

#: Seconds that importing all modules may take.
_PATIENCE = 120.0


def discover(
    modules: Sequence[str],
    *,
    python: str,
    project_dir: Path,
    pools: Collection[str] = (),
) -> list[StepSpec]:
    """Steps declared with ``@dbtorch.step`` in these modules, in the order they were imported.

    ``pools`` are the names a step may mention. Raises `ConfigError`, which names module and line.
    """
    if not modules:
        return []
    specs = [_spec(one, project_dir, pools) for one in _declared(modules, python, project_dir)]
    seen: dict[str, StepSpec] = {}
    for spec in specs:
        first = seen.setdefault(spec.name, spec)
        if first is not spec:
            raise _wrong(
                f"{spec.origin}: step {spec.name} is declared at {first.origin} already; "
                "give one of them another name=…"
            )
    return specs


def _declared(modules: Sequence[str], python: str, project_dir: Path) -> list[dict[str, Any]]:
    """What the child process found."""
    importing = f"step_modules: importing {', '.join(modules)}"
    with tempfile.TemporaryDirectory(prefix="dbtorch-") as folder:
        path = Path(folder) / "result.json"
        job = json.dumps({"kind": "discover", "modules": list(modules)})
        try:
            done = _child(python, project_dir, job, path)
        except subprocess.TimeoutExpired:
            raise _wrong(f"{importing} took longer than {_PATIENCE:g} s") from None
        except OSError as error:
            raise _wrong(f"step_modules: {python} cannot start: {error.strerror}") from error
        if not path.exists():
            said = one_line(done.stdout[-300:])
            ended = f"ended the interpreter (exit status {done.returncode})"
            raise _wrong(f"{importing} {ended}: {said}")
        result = json.loads(path.read_text(encoding="utf-8"))
    if result["state"] != "success":
        raise _wrong(result["message"].replace(f"{project_dir.resolve()}{os.sep}", ""))
    found: list[dict[str, Any]] = result["output"]
    return found


def _child(
    python: str, project_dir: Path, job: str, result: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(CHILD)],
        input=job,
        cwd=project_dir,
        env={**os.environ, "DBTORCH_RESULT": str(result)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=False,
        start_new_session=True,
    )


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
        raise _wrong(f"{origin}: {function} is hidden in a function; move it to the module")
    options = dict(declared["options"])
    name = str(options.pop("name", function))
    said = {"python": f"{declared['module']}:{function}", **options}
    if declared["description"]:
        said.setdefault("description", declared["description"])
    return step_of(name, said, origin, pools=pools)
