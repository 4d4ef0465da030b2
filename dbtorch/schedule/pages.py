"""The pages of `dbtorch ui` under `serve`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from starlette.applications import Starlette

from dbtorch.service.history.store import history_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.web.app import PATIENCE, Site, application
from dbtorch.web.server import is_loopback


@contextmanager
def pages_of(
    project: Project, options: RunOptions, host: str, hosts: list[str], token: str
) -> Iterator[Starlette | None]:
    """What answers them while it is open; None where others reach it and nobody set a token.

    They read over a connection of their own: the scheduler waits for nobody who looks.
    """
    if not token and not is_loopback(host):
        yield None
        return
    with closing(history_of(project, options, writes=True)) as store:
        site = Site(
            project_dir=project.dir,
            name=project.name,
            store=store.apart(patience=PATIENCE),
            options=options,
            token=token,
        )
        yield application(site, hosts)
