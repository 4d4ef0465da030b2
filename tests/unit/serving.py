"""A scheduler over a store on a clock that is set, with children that are real processes."""

import io
import json
import queue
from datetime import timedelta

from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import Lease
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.core.schedule.rules import Catchup, Overlap
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.schedule.children import Starter
from dbtorch.schedule.log import Log
from dbtorch.schedule.scheduler import Scheduler
from dbtorch.schedule.state import ServeState
from dbtorch.service.schedule.timetable import timetable
from dbtorch.testing.store import MemoryStore
from tests.stores import NOON, a_run
from tests.waiting import PATIENCE

SHOP = Identity(project_id="acme/shop", name="shop", places={"dev": "dev (x)"}, target="dev")
HOURLY = Schedule(crons=("0 * * * *",), catchup=Catchup.ALL, overlap=Overlap.QUEUE_ALL)
HOUR = timedelta(hours=1)
KEY = ScheduleKey("p0", "dev (x)")


class Serving:
    """A scheduler on a clock that is set, and what it hears."""

    def __init__(
        self, tmp_path, script="exec sleep 3600", store=None, pipelines=1, max_runs=4, begun=True
    ):
        self.now = NOON + HOUR / 2
        self.store = store or MemoryStore(SHOP, clock=lambda: self.now)
        self.said = io.StringIO()
        self.ends = queue.SimpleQueue()
        log = Log(self.said, Scrubber(["s3cret/value"]))
        starter = Starter(
            program=("/bin/sh", "-c", script),
            project_dir=tmp_path,
            environ={},
            grace=None,
            log=log,
            on_line=lambda child, said: None,
            on_end=self.ends.put,
        )
        self.scheduler = Scheduler(
            store=self.store,
            starter=starter,
            log=log,
            observer=ServeState(),
            max_runs=max_runs,
            lifetime=timedelta(days=365),
        )
        self.serve(pipelines)
        if begun:
            self.turn()  # it has never seen these pipelines: nothing is due

    def serve(self, pipelines, calendars=None):
        """From now on serve these: schedules by name, or so many that are hourly."""
        if isinstance(pipelines, int):
            pipelines = {f"p{number}": HOURLY for number in range(pipelines)}
        specs = {
            name: PipelineSpec(name=name, target="dev", schedule=schedule)
            for name, schedule in pipelines.items()
        }
        self.scheduler.use(timetable(Config(pipelines=specs), SHOP, calendars))

    def turn(self, passes=timedelta()):
        self.now += passes
        self.scheduler.turn()

    def begin(self, child, run_id):
        """Do what a run does first; answers the lease that it holds."""
        lease = Lease(
            name=SHOP.lease(child.key.pipeline, child.key.place),
            run_id=run_id,
            host="h",
            pid=1,
            acquired_at=self.now,
            expires_at=self.now + timedelta(days=365),
        )
        held, _ = self.store.acquire(lease)
        self.store.begin(a_run(run_id), [], tick=child.token)
        return held

    def run(self):
        """Let what was started begin and succeed; answers which pipelines that were."""
        children = list(self.scheduler.children.values())
        for child in children:
            lease = self.begin(child, child.token)
            self.store.end(child.token, RunState.SUCCESS, self.now)
            self.store.release(lease)
            child.kill()
        ended = [self.end() for _ in children]
        return sorted(child.key.pipeline for child in ended)

    def end(self):
        """Hear of a child that has ended."""
        child = self.ends.get(timeout=PATIENCE)
        self.scheduler.ended(child)
        return child

    def ticks(self):
        return [tick for _, tick in self.store.ticks()]

    def events(self, name):
        lines = map(json.loads, self.said.getvalue().splitlines())
        return [line for line in lines if line["event"] == name]
