"""``dbtorch init``: a commented ``dbtorch.yml`` from the project that is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dbtorch.adapters.config.draft import draft
from dbtorch.adapters.config.loading import NAMES
from dbtorch.adapters.config.problems import ConfigError
from dbtorch.adapters.config.survey import survey
from dbtorch.cli.errors import OK, USAGE

_IGNORED = ".dbtorch/"


def init(project_dir: Path, *, force: bool, echo: Callable[[str], None]) -> int:
    """Write ``dbtorch.yml``; answer the exit code. Only ``force`` overwrites one."""
    if not (project_dir / "dbt_project.yml").is_file():
        echo(f"{project_dir} is no dbt project: it has no dbt_project.yml; go to one and try again")
        return USAGE
    there = next((name for name in NAMES if (project_dir / name).exists()), None)
    if there and not force:
        echo(f"{there} is there already; --force replaces it")
        return USAGE
    path = project_dir / (there or NAMES[0])
    try:
        found = survey(project_dir)
        path.write_text(draft(found), encoding="utf-8")
        ignored = _ignore(project_dir / ".gitignore")
    except ConfigError as error:
        echo(str(error))
        return USAGE
    except OSError as error:
        echo(f"{error.filename} cannot be written: {error.strerror}; check its permissions")
        return USAGE
    echo(f"{'Replaced' if there else 'Wrote'} {path.name} for the project {found.name}.")
    if ignored:
        echo(f"Added {_IGNORED} to .gitignore.")
    echo("Everything in it is an example in a comment: `dbtorch run` works as it is.")
    return OK


def _ignore(path: Path) -> bool:
    """Keep what dbtorch writes out of git, where git is used."""
    if not path.is_file():
        return False
    content = path.read_bytes()
    lines = {line.strip().strip(b"/") for line in content.splitlines()}
    if lines & {b".dbtorch", b"**/.dbtorch"}:
        return False
    end = b"\r\n" if b"\r\n" in content else b"\n"
    gap = b"" if not content or content.endswith(b"\n") else end
    path.write_bytes(content + gap + _IGNORED.encode() + end)
    return True
