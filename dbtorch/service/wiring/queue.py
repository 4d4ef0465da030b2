"""Whether, and by what, steps of a plan go to workers of other machines."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from dbtorch.core.config import StepSpec
from dbtorch.core.errors import QueueError, UsageError
from dbtorch.service.history.store import store_url
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.service.run.lease import Held
from dbtorch.service.wiring.steps import Far

if TYPE_CHECKING:
    from dbtorch.ports.queue import Queue

_POSTGRES = ("postgres://", "postgresql://")

#: The scheduler of a Dask cluster, which brings the word in place of the history's Postgres.
VARIABLE = "DBTORCH_QUEUE_URL"
_DASK = ("tcp://", "tls://", "ws://", "wss://")


def far_of(project: Project, options: RunOptions, nodes: Collection[str], held: Held) -> Far | None:
    """What steps with a queue among ``nodes`` need; None where there are none.

    Raises `UsageError` where workers cannot read the history.
    """
    steps = project.config.steps
    if not any(spec.queue for spec in steps.values()):
        return None
    queue = queue_for(steps, nodes, store_url(project, options), options.environ)
    return None if queue is None else Far(queue=queue, lease=held.lease, before=held.before)


def queue_for(
    steps: Mapping[str, StepSpec],
    nodes: Collection[str],
    url: str | None,
    environ: Mapping[str, str] = os.environ,
) -> Queue | None:
    """What tells workers of steps among ``nodes``; None where none of them has a queue.

    ``steps`` by name; ``url`` is the history's. Raises `UsageError` where workers cannot read that.
    """
    far = [spec for spec in steps.values() if spec.queue and spec.id in nodes]
    if not far:
        return None
    spec = far[0]
    where = f"{spec.origin}: " if spec.origin.file else ""
    return open_queue(url, f"{where}step {spec.name} is for workers of queue {spec.queue}", environ)


def open_queue(url: str | None, who: str, environ: Mapping[str, str] = os.environ) -> Queue:
    """The queue beside a history, or in the Dask cluster that the environment names.

    Raises `UsageError`, which begins with ``who`` needs it.
    """
    if not url or not url.startswith(_POSTGRES):
        raise UsageError(
            f"{who}, who share a history in Postgres with whoever drives the run: name one with"
            " --database-url postgresql://host/database"
        )
    dask = environ.get(VARIABLE)
    if dask and not dask.startswith(_DASK):
        raise UsageError(
            f"{VARIABLE} is {dask!r}; give the address of the scheduler of a Dask cluster, such as"
            " tcp://dask:8786, or leave it out"
        )
    try:
        if dask:
            from dbtorch.adapters.queue.on_dask import DaskQueue

            return DaskQueue(dask)
        from dbtorch.adapters.queue.on_postgres import PostgresQueue

        return PostgresQueue(url)
    except QueueError as error:
        raise UsageError(f"{who}: {error}") from error


def address(project_id: str, queue: str) -> str:
    """What a queue of a project is called among those of all projects in one database."""
    import hashlib  # few runs have workers

    return f"dbtorch.{hashlib.sha256(project_id.encode()).hexdigest()[:12]}.{queue}"
