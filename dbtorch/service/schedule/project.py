"""A project's configuration and its history, for what is done with schedules."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from dbtorch.core.config import Config
from dbtorch.ports.store import Store
from dbtorch.service.history.store import history_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project


@contextmanager
def scheduled_project(
    project_dir: str | None,
    database_url: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[tuple[Config, Store]]:
    """What dbtorch.yml says, and the history, which is made where there is none.

    Raises `ConfigError`, `UsageError`, `StoreError`.
    """
    options = RunOptions(project_dir=project_dir, database_url=database_url, environ=dict(environ))
    project = open_project(project_dir, options.environ)
    with closing(history_of(project, options, create=True)) as store:
        yield project.config, store
