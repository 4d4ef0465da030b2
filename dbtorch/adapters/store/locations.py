"""Where a store is: what ``--database-url`` may say, and dbtorch's folder in a project."""

from __future__ import annotations

from pathlib import Path

from dbtorch.ports import StoreError

#: dbtorch's own folder in a project: history and logs.
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


def exists(path: Path) -> bool:
    """Whether a history is there. Raises `StoreError` when that may not be known."""
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(
            f"the run history {path} cannot be read ({error.strerror}): check the permissions of"
            " its folder"
        ) from error


def sqlite_path(url: str, project_dir: Path) -> Path:
    """The file that ``sqlite:///`` names, seen from the project. Raises `StoreError`."""
    if not url.startswith("sqlite:///"):
        raise StoreError(
            f"{url} needs three slashes: sqlite:///folder/file.db is a file seen from the"
            " project, sqlite:////folder/file.db one from the root"
        )
    name = url.removeprefix("sqlite:///")
    if name in ("", ":memory:"):
        raise StoreError(f"{url} names no file, and a history in memory would be lost at once")
    if "?" in name:
        raise StoreError(f"{url} has options after the file, and none are known: leave them out")
    return project_dir / name


def _unwritable(folder: Path, error: OSError) -> str:
    return (
        f"the folder {folder} for the run history cannot be written ({error.strerror}): check its"
        " permissions, or choose another place with --database-url"
    )
