"""Opening the history of a project for those who look into it, or write a line into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.adapters.store import open_store
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, configured_store, find_project_dir
from dbtorch.service.project.store_scope import identity_of, reader_of

if TYPE_CHECKING:
    from dbtorch.ports.store import Store


@contextmanager
def open_history(
    project_dir: str | None,
    database_url: str | None,
    *,
    writes: bool = False,
    places: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Store]:
    """The history of the project in a folder; there must be one.

    ``project_dir`` and ``database_url`` may be None: the current folder, what is configured. With
    ``writes`` it can be written, with ``places`` asked how targets stand and what is usual there,
    for which profiles.yml is read. Raises `UsageError`, `StoreError`.
    """
    folder = find_project_dir(project_dir, environ)
    url = configured_store(database_url, folder, environ)
    identity = reader_of(folder, url, environ, places=places)
    store = open_store(url, folder, create=False, writes=writes, identity=identity)
    try:
        yield store
    finally:
        store.close()


def history_of(
    project: Project,
    options: RunOptions,
    words: Sequence[str] | None = None,
    *,
    create: bool = False,
    writes: bool = False,
) -> Store:
    """The history that options, environment or dbtorch.yml name; whoever opens it closes it.

    ``words`` are options for dbt, which say what target it is about: those of ``options`` by
    default. With ``create`` it is made where there is none. Raises `StoreError`.
    """
    environ = options.environ
    url = store_url(project, options)
    words = options.dbt_args if words is None else words
    identity = identity_of(project, url, words, environ=environ, cwd=options.cwd)
    if create:
        make_state_dir(project.dir, environ)  # also with Postgres: logs are files
    return open_store(url, project.dir, create=create, writes=writes, identity=identity)


def store_url(project: Project, options: RunOptions) -> str | None:
    """URL of the history that options, environment or dbtorch.yml name; None for the project's."""
    return options.database_url or configured_store(None, project.dir, options.environ)
