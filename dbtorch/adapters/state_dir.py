"""dbtorch's own folder in a project."""

from __future__ import annotations

from pathlib import Path

from dbtorch.ports import StoreError

#: Its name; history and logs are in it.
STATE_DIR = ".dbtorch"


def state_dir(project_dir: Path) -> Path:
    """The folder of dbtorch in a project, made if missing, kept out of git. Raises `StoreError`."""
    folder = project_dir / STATE_DIR
    ignore = folder / ".gitignore"
    make_folder(folder)
    try:
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(_unwritable(folder, error)) from error
    return folder


def make_folder(folder: Path) -> None:
    """Make a folder for a history. Raises `StoreError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(_unwritable(folder, error)) from error


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"the folder {folder} for the run history cannot be written ({error.strerror}): check its"
        " permissions, or choose another place with --database-url"
    )
