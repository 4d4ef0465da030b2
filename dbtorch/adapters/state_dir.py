"""dbtorch's own folder in a project."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from dbtorch.core.errors import StoreError

#: Its name; history and logs are in it.
STATE_DIR = ".dbtorch"

#: Names another folder, where the project's cannot be written, as in most containers.
VARIABLE = "DBTORCH_STATE_DIR"


def state_dir(project_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where dbtorch keeps what is a project's, whether or not it is there yet.

    ``DBTORCH_STATE_DIR`` counts from the project's folder where it is relative.
    """
    return project_dir / (environ.get(VARIABLE) or STATE_DIR)


def make_state_dir(project_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of dbtorch in a project, made if missing, kept out of git. Raises `StoreError`.

    Nobody but its owner, and a group that has been given the right to, may look into it: logs,
    queries and contexts of steps are in it.
    """
    folder = state_dir(project_dir, environ)
    ignore = folder / ".gitignore"
    make_folder(folder, mode=0o700)
    _close_to_others(folder)
    try:
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(_unwritable(folder, error)) from error
    return folder


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder for a history. Raises `StoreError`."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(_unwritable(folder, error)) from error


def _close_to_others(folder: Path) -> None:
    """Shut others out of a folder that an earlier version has made; a group may stay."""
    with contextlib.suppress(OSError):  # somebody else's
        mode = folder.stat().st_mode
        if mode & 0o007:
            folder.chmod(mode & 0o770)


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"the folder {folder} for the run history cannot be written ({error.strerror}): check its"
        f" permissions, or name another place with {VARIABLE} or --database-url"
    )
