"""Removing what is older than somebody wants to keep: runs, their logs and measurements."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.run_files import RUNS
from dbtorch.adapters.state_dir import state_dir
from dbtorch.core.errors import UsageError
from dbtorch.ports.store import Store
from dbtorch.service.history.store import history_of
from dbtorch.service.project.artifacts import artifacts_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project

#: Runs that one transaction removes: others wait for it.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be."""

    before: datetime
    runs: tuple[str, ...] = ()
    folders: int = 0  # of logs, those of the runs included
    bytes: int = 0
    url: str = ""  # of what keeps files for every machine; empty where nothing does
    remote_folders: int = 0  # that were there
    problem: str = ""  # why some of them still are


def prune(options: RunOptions, keep: float | None, *, dry_run: bool = False) -> Pruned:
    """Remove runs of the project that ended more than ``keep`` seconds ago, and their files.

    Without ``keep`` what dbtorch.yml says. Raises `UsageError`, `StoreError`.
    """
    project = open_project(options.project_dir, options.environ)
    keep = project.config.retention if keep is None else keep
    if keep is None:
        raise UsageError(
            "nothing says how long runs are kept: give --keep, such as --keep 90d, or set"
            " `retention: 90d` in dbtorch.yml"
        )
    before = oldest_kept(keep)
    artifacts = artifacts_of(project, options)
    store = history_of(project, options, writes=not dry_run)
    try:
        runs = store.outlived(before) if dry_run else list(_removed(store, before))
        root = state_dir(project.dir, options.environ) / RUNS
        pruned = _with_files(store, root, before, runs, dry_run=dry_run)
        if artifacts is None:
            return pruned
        from dbtorch.service.history.remote_files import RemoteRemoval

        remote = RemoteRemoval(artifacts)
        remote.of(store, before, frozenset(runs), dry_run=dry_run)
        return replace(
            pruned, url=remote.url, remote_folders=remote.folders, problem=remote.problem
        )
    finally:
        store.close()


def prune_after_run(store: Store, state: Path, keep: float) -> Pruned:
    """The same for a little at the end of a run, which must not take long."""
    before = oldest_kept(keep)
    return _with_files(store, state / RUNS, before, store.prune(before, most=_AT_ONCE))


def oldest_kept(keep: float) -> datetime:
    """What ended before this is older than some seconds."""
    return SystemClock().now() - timedelta(seconds=keep)


def _removed(store: Store, before: datetime) -> Iterator[str]:
    while runs := store.prune(before, most=_AT_ONCE):
        yield from runs


def _with_files(
    store: Store, root: Path, before: datetime, runs: list[str], *, dry_run: bool = False
) -> Pruned:
    folders, size = 0, 0
    for folder in _folders(store, root, before, set(runs)):
        folders, size = folders + 1, size + _size(folder)
        if not dry_run:
            shutil.rmtree(folder, ignore_errors=True)
    return Pruned(before=before, runs=tuple(runs), folders=folders, bytes=size)


def _folders(store: Store, root: Path, before: datetime, runs: set[str]) -> Iterator[Path]:
    """Folders of the runs, and as old ones of which the history knows nothing (any more)."""
    with suppress(OSError):
        for folder in sorted(root.iterdir()):
            if folder.is_symlink() or not folder.is_dir():
                continue
            age = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
            forgotten = age < before and folder.name not in store.find(folder.name)
            if folder.name in runs or forgotten:
                yield folder


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                size += path.stat().st_size
    return size
