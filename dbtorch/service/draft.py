"""A commented ``dbtorch.yml`` from the project that is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.config.draft import draft
from dbtorch.adapters.config.loading import NAMES
from dbtorch.adapters.config.survey import survey
from dbtorch.core.errors import UsageError

#: What git is to leave alone.
IGNORED = ".dbtorch/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The file that was written."""

    path: Path
    project: str
    replaced: bool  # there was one
    ignored: bool  # .gitignore says now that git leaves alone what dbtorch writes


def write_draft(project_dir: Path, *, force: bool = False) -> Written:
    """Write ``dbtorch.yml``; only ``force`` overwrites one.

    Raises `UsageError` where that cannot be, `ConfigError` for a broken dbt_project.yml.
    """
    if not (project_dir / "dbt_project.yml").is_file():
        raise UsageError(
            f"{project_dir} is no dbt project: it has no dbt_project.yml; go to one and try again"
        )
    there = next((name for name in NAMES if (project_dir / name).exists()), None)
    if there and not force:
        raise UsageError(f"{there} is there already; --force replaces it")
    path = project_dir / (there or NAMES[0])
    found = survey(project_dir)
    try:
        path.write_text(draft(found), encoding="utf-8")
        ignored = _ignore(project_dir / ".gitignore")
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be written: {error.strerror}; check its permissions"
        ) from error
    return Written(path=path, project=found.name, replaced=there is not None, ignored=ignored)


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
    path.write_bytes(content + gap + IGNORED.encode() + end)
    return True
