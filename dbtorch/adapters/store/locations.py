"""Where a store is: what ``--database-url`` may say."""

from __future__ import annotations

from pathlib import Path

from dbtorch.core.errors import StoreError


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
