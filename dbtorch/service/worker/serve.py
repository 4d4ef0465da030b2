"""Opening what a worker needs: the project, the history it shares, and its queues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.core.errors import UsageError
from dbtorch.service.history.store import history_of, store_url
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.run.lease import lease_lifetime
from dbtorch.service.wiring.queue import address, open_queue
from dbtorch.service.worker.worker import Note, StepWorker


@contextmanager
def opened_worker(options: RunOptions, queues: Sequence[str], note: Note) -> Iterator[StepWorker]:
    """A worker of a project's queues. Raises `UsageError`, `StoreError`, `ConfigError`."""
    project = open_project(options.project_dir, options.environ)
    known = {spec.queue for spec in project.config.steps.values() if spec.queue}
    for name in queues:
        if name not in known:
            hint = f"its queues are {', '.join(sorted(known))}" if known else "it has none"
            raise UsageError(f"no step of the project has queue {name}; {hint}")
    url = store_url(project, options)
    who = f"a worker of queue {queues[0]} works for others"
    messages = open_queue(url, who, options.environ)
    make_state_dir(project.dir, options.environ)
    store = history_of(project, options, create=True)
    grace = project.config.grace if options.grace is None else options.grace
    # What a worker that was killed leaves behind ends within the grace, before it is lost.
    lifetime = max(lease_lifetime(options.environ), timedelta(seconds=2 * grace))
    try:
        project_id = store.identity.project_id
        yield StepWorker(
            project.dir,
            store.apart(),
            messages,
            addresses={name: address(project_id, name) for name in queues},
            lifetime=lifetime,
            note=note,
            grace=grace,
            environ=options.environ,
        )
    finally:
        store.close()
