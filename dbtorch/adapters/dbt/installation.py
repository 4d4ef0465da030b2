"""Whose dbt it is: the project's own is found by looking at files, and none is started for that."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.adapters.dbt.script import interpreter_of, is_script
from dbtorch.adapters.home import home
from dbtorch.core.model.used_dbt import UsedDbt, Where


def used_dbt(path: str | Path, where: Where, project_dir: Path) -> UsedDbt:
    """What people are told of a dbt: a path relative to the project it is in, or with ~."""
    path = Path(path)
    if path.is_relative_to(project_dir):
        return UsedDbt(path=str(path.relative_to(project_dir)), where=where)
    mine = home()
    short = f"~/{path.relative_to(mine)}" if path.is_relative_to(mine) else str(path)
    return UsedDbt(path=short, where=where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A dbt, and the interpreter that has the project's Python code."""

    where: Where
    python: str
    executable: Path | None = None  # its command; None where there is none
    passed: tuple[str, ...] = ()  # what was looked at before, and why it was not taken

    @property
    def is_python(self) -> bool:
        """Whether the interpreter can import dbt, as far as files say it."""
        if self.executable is None or self.where is not Where.PATH:
            return self.executable is None or is_script(self.executable)
        return bool(interpreter_of(self.executable))

    def used(self, project_dir: Path) -> UsedDbt:
        """What people are told of it."""
        path = Path(self.python)
        if self.where is Where.PATH and self.executable is not None:
            path = self.executable
        elif self.where is not Where.NAMED:
            path = path.parent.parent
        return used_dbt(path, self.where, project_dir)


def find_installation(
    named: str | None, project_dir: Path, environ: Mapping[str, str]
) -> Installation:
    """The dbt of a project: of the interpreter that is ``named``, or the first one that is found.

    It is looked for in the active environment, in a ``.venv`` beside or above the project, on the
    path, and beside us.
    """
    if named is not None:
        return Installation(where=Where.NAMED, python=named, executable=_beside(named))
    environments = list(_environments(project_dir, environ))
    pythons = [str(_python(folder)) for _, folder in environments if _is_command(_python(folder))]
    code = next(iter(pythons), sys.executable)  # runs the project's code where dbt is no Python
    passed: list[str] = []
    for found in _candidates(environments, environ.get("PATH") or os.defpath, code):
        if isinstance(found, Installation):
            return replace(found, passed=tuple(passed))
        passed.append(found)
    return Installation(where=Where.NOWHERE, python=code, passed=tuple(passed))


def _candidates(
    environments: Iterable[tuple[Where, Path]], path: str, code: str
) -> Iterator[Installation | str]:
    """What is a dbt, and of what is none why, in the order in which they are taken."""
    for where, folder in environments:
        yield _in_environment(where, folder)
    name = shutil.which("dbt", path=path)
    if name is not None:
        yield _on_path(Path(name), path, code)
    yield _own()
    if name is not None and not interpreter_of(Path(name)):  # a script around a container, say
        yield Installation(where=Where.PATH, python=code, executable=Path(name))


def _in_environment(where: Where, folder: Path) -> Installation | str:
    python, dbt = _python(folder), folder / "bin" / "dbt"
    if not _is_command(python):
        return f"{folder} ({where}) has no bin/python"
    if _is_command(dbt):
        return Installation(where=where, python=str(python), executable=dbt)
    if any(map(_has_dbt, (folder / "lib").glob("python3*/site-packages"))):
        return Installation(where=where, python=str(python))
    return f"{folder} ({where}) has no dbt"


def _on_path(dbt: Path, path: str, code: str) -> Installation | str:
    words = interpreter_of(dbt)
    python = shutil.which(words[0], path=path) if words else None
    if python is not None:
        return Installation(where=Where.PATH, python=python, executable=dbt)
    if not is_script(dbt):
        python = _python_beside(dbt) or code
        return Installation(where=Where.PATH, python=python, executable=dbt)
    if words:
        return f"{dbt} ({Where.PATH}) is of an interpreter that is not there, {words[0]}"
    return f"{dbt} ({Where.PATH}) does not say which interpreter has dbt"


def _own() -> Installation | str:
    beside = _beside(sys.executable)
    if beside is not None or any(_has_dbt(Path(folder)) for folder in sys.path):
        return Installation(where=Where.OWN, python=sys.executable, executable=beside)
    return f"{sys.prefix} ({Where.OWN}) has no dbt"


def _environments(project_dir: Path, environ: Mapping[str, str]) -> Iterator[tuple[Where, Path]]:
    """Environments that are the project's, nearest first."""
    if active := environ.get("VIRTUAL_ENV"):
        yield Where.ACTIVE, Path(active)
    for folder in (project_dir, *project_dir.parents):
        found = folder / ".venv"
        if (found / "pyvenv.cfg").is_file() and _is_trusted(found, project_dir):
            yield Where.BESIDE if folder == project_dir else Where.ABOVE, found
        if (folder / ".git").exists():  # what is above a repository is about something else
            return


def _is_trusted(folder: Path, project_dir: Path) -> bool:
    """Whether it is ours, the system's, or of whoever has made the project.

    Above a project in a folder for everybody, such as /tmp, anybody could put one.
    """
    try:
        owner = folder.stat().st_uid
        return owner in (os.getuid(), 0, project_dir.stat().st_uid)
    except OSError:
        return False


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _beside(python: str) -> Path | None:
    """The command `dbt` of an interpreter's environment."""
    found = shutil.which(python)
    path = Path(found or python).parent / "dbt"
    return path if path.is_file() else None


def _python_beside(dbt: Path) -> str | None:
    """The interpreter of the virtual environment that a command is installed in, if it is."""
    for folder in (dbt.parent.parent, dbt.resolve().parent.parent):
        if (folder / "pyvenv.cfg").is_file() and _is_command(_python(folder)):
            return str(_python(folder))
    return None


def _is_command(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _has_dbt(packages: Path) -> bool:
    """Whether dbt-core is in a folder of packages."""
    return (packages / "dbt" / "cli" / "main.py").is_file()
