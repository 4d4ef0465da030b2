"""Which commit a project is at."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checkout:
    """State of a git checkout; ``dirty`` is None outside of one."""

    commit: str = ""
    dirty: bool | None = None


def checkout(folder: Path) -> Checkout:
    """Commit and dirtiness of the checkout a folder belongs to."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return Checkout()
    status = _git(folder, "status", "--porcelain", "--", ".")
    return Checkout(commit.strip(), None if status is None else bool(status.strip()))


def _git(folder: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *args], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


#: Commits that are looked at for one that production was built from.
_MOST = 5000


def commits_before(folder: Path, base: str) -> tuple[str, ...]:
    """The commits that this checkout and ``base`` have in common, newest first; none if unknown.

    A checkout that is too shallow to say has none.
    """
    common = _git(folder, "merge-base", "HEAD", base)
    if common is None:
        return ()
    listed = _git(folder, "rev-list", f"--max-count={_MOST}", common.strip())
    return tuple((listed or "").split())


def changed_files(folder: Path, commit: str) -> frozenset[str] | None:
    """Files below a folder that are not what they were at a commit, committed or not.

    Their paths count from the folder. None where git does not know.
    """
    listed = _git(folder, "diff", "--name-only", "--relative", "-z", commit, "--", ".")
    return None if listed is None else frozenset(filter(None, listed.split("\0")))


def file_at(folder: Path, commit: str, path: str) -> str | None:
    """What a file below a folder was at a commit; None where it was not, or git does not know."""
    return _git(folder, "show", f"{commit}:./{path}")
