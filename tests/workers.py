"""A supervisor's side and workers of one project, in this process, over the doubles."""

import threading
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from dbtorch.adapters.steps.carried import carried
from dbtorch.app.remote_steps import RemoteSteps
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.events import Attempt, Batch, Finished, Started
from dbtorch.core.model.identity import Identity
from dbtorch.ports.steps import StepContext
from dbtorch.service.project.project import open_project
from dbtorch.service.worker.worker import StepWorker
from dbtorch.testing import MemoryQueue
from dbtorch.testing.store import MemoryStore
from tests.stores import a_lease
from tests.waiting import PATIENCE, wait_for

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LOAD = Attempt("step.load", 1)


class Site:
    """A project with steps for queue ``crm``, a store, and a queue."""

    def __init__(self, folder, steps="  load: {command: 'echo hello', queue: crm}\n", store=None):
        self.dir = folder
        self.store = store or MemoryStore(Identity(project_id="acme/shop"))
        self.messages = MemoryQueue()
        self.events = []
        self.outputs = {}
        self.logs = {}
        self.tell = lambda event: None
        self._news = threading.Condition()
        self.write(steps)
        (folder / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: shop\n")

    def write(self, steps):
        (self.dir / "dbtorch.yml").write_text(f"version: 1\nsteps:\n{steps}")

    def lease(self, run_id="r1", **given):
        """A lease as a supervisor takes it."""
        now = datetime.now(UTC)
        until = now + timedelta(hours=1)
        wanted = a_lease(run_id, acquired_at=now, expires_at=until, **given)
        return self.store.acquire(wanted)[0]

    def lease_now(self):
        """The supervisor's, as the store has it."""
        return self.store.holder("shop/default")

    @contextmanager
    def supervisor(self, lease=None, *, hide=None, before=(), vars=None):
        """What offers steps to workers."""
        lease = lease or self.lease()
        context = StepContext(
            run_id=lease.run_id,
            project="shop",
            pipeline="default",
            logical_date=NOW,
            data_interval_start=None,
            data_interval_end=NOW,
            project_dir=self.dir,
            target={"name": "dev"},
            vars=vars or {},
        )
        steps = RemoteSteps(
            self._take,
            {spec.id: spec for spec in open_project(str(self.dir), {}).config.steps.values()},
            store=self.store,
            queue=self.messages.beside(),
            lease=lease,
            address=lambda queue: queue,
            told=lambda spec: carried(spec, context, self.outputs, hide or Scrubber()),
            outputs=self.outputs,
            log_to=self._log,
            before=before,
            every=0.02,
        )
        try:
            yield steps
        finally:
            steps.close()

    @contextmanager
    def worker(
        self, *, environ: Mapping[str, str] | None = None, lifetime=3600.0, store=None, at_once=2
    ):
        """A worker that serves until the end."""
        worker = self.idle_worker(environ=environ, lifetime=lifetime, store=store)
        thread = threading.Thread(target=worker.serve, args=(at_once,))
        thread.start()
        try:
            yield worker
        finally:
            worker.stop()
            worker.end("the test is over")
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def idle_worker(self, *, environ=None, lifetime=3600.0, store=None):
        """One that is told of nothing."""
        return StepWorker(
            self.dir,
            store or self.store,
            self.messages.beside(),
            addresses={"crm": "crm"},
            lifetime=timedelta(seconds=lifetime),
            environ=environ or {"PATH": "/usr/bin:/bin"},
            every=0.05,
        )

    def token(self):
        """Of the one attempt that waits for a worker."""
        wait_for(lambda: self.messages.waiting("crm"))
        (token,) = self.messages.waiting("crm")
        return token

    def start(self, steps, attempt=LOAD):
        steps.start(Batch(attempt.number, (attempt,)))
        return attempt

    def started(self, attempt=LOAD):
        self.wait(lambda: Started(attempt) in self.events)

    def outcome(self, attempt=LOAD):
        self.wait(lambda: self.ends(attempt))
        (outcome,) = self.ends(attempt)
        return outcome

    def ends(self, attempt=LOAD):
        finished = [event for event in self.events if isinstance(event, Finished)]
        return [event.outcome for event in finished if event.attempt == attempt]

    def wait(self, holds):
        with self._news:
            assert self._news.wait_for(holds, PATIENCE), self.events

    def _take(self, event):
        self.tell(event)
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def _log(self, attempt, text):
        self.logs[attempt] = self.logs.get(attempt, "") + text
