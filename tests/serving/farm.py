"""Several servers over one history, that are killed and started again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from dbtorch.adapters.store import open_store
from dbtorch.core.schedule.ledger import TickState
from dbtorch.service.project.project import open_project
from dbtorch.service.project.store_scope import identity_of
from tests.waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]


def a_project(folder, pipelines, period=1, spread=False):
    """A project with so many pipelines that have a schedule; ``spread`` over the period."""
    (folder / "dbt_project.yml").write_text('name: shop\nversion: "1.0"\nprofile: shop\n')
    profile = "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: x.duckdb}\n"
    (folder / "profiles.yml").write_text(profile)
    starts = [n * period // pipelines if spread else None for n in range(pipelines)]
    lines = [f"  p{n}: {{schedule: {schedule(period, at)}}}" for n, at in enumerate(starts)]
    (folder / "dbtorch.yml").write_text("version: 1\npipelines:\n" + "\n".join(lines) + "\n")
    return folder


def schedule(period=1, start=None):
    """Every so many seconds, and each time of it runs; from so many after midnight on."""
    if start is None:
        return f"{{every: {period}s, catchup: all, overlap: queue_all}}"
    begins = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start)
    return f'{{every: {period}s, start_date: "{begins.isoformat()}", overlap: queue_all}}'


class Farm:
    """Servers of one project, each with a clock of its own."""

    def __init__(self, folder, url, *, takes=0.2, skews=(0.0,), max_runs=8, seed=17):
        self.folder, self.url, self.skews, self.max_runs = folder, url, skews, max_runs
        self.environ = {**os.environ, "TAKES": str(takes)}
        self.servers = []
        self.began = {}  # Unix time, by the name of a log
        self.rng = random.Random(seed)
        self._logs = 0
        project = open_project(str(folder))
        self.store = open_store(url, folder, identity=identity_of(project, url))

    def start(self):
        """One more server, that hears signals."""
        self._logs += 1
        path = self.folder / f"serve.{self._logs}.log"
        log = path.open("w")
        skew = str(self.skews[self._logs % len(self.skews)])
        with log:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.serving.server", *self._words()],
                cwd=ROOT,
                env={**self.environ, "SKEW": skew},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.servers.append(server)
        wait_for(lambda: "serve_started" in path.read_text() or self._check())
        self.began[path.name] = time.time()
        return server

    def _words(self):
        return [f"project={self.folder}", f"url={self.url}", f"max_runs={self.max_runs}"]

    def kill_one(self):
        """Kill one of the servers outright; its runs go on, or some of them die as well."""
        server = self.servers.pop(self.rng.randrange(len(self.servers)))
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        server.kill()
        for child in children:
            if self.rng.random() < 0.5:
                os.kill(int(child), signal.SIGKILL)
        server.wait()

    def done(self):
        """How many runs of ticks have ended."""
        return sum(tick.state is TickState.DONE for _, tick in self.store.ticks(limit=10**6))

    def await_runs(self, more):
        """Return when so many more have ended."""
        wanted = self.done() + more
        wait_for(lambda: self.done() >= wanted or self._check())

    def _check(self):
        assert all(server.poll() is None for server in self.servers), self.logs()[-3000:]

    def logs(self):
        """What all of them have said."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("serve.*.log")))

    def wrong_by(self):
        """Seconds by which each server's clock was wrong when it began, so far as files tell."""
        found = []
        for path in sorted(self.folder.glob("serve.*.log")):
            line = next(one for one in path.read_text().splitlines() if '"serve_started"' in one)
            said = datetime.fromisoformat(json.loads(line)["ts"]).timestamp()
            found.append(said - self.began[path.name])
        return found

    def end(self):
        """End all of them, properly."""
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            assert server.wait(PATIENCE) == 0
        self.servers.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.kill()
            server.wait()
        self.store.close()


def starts(log):
    """Each start: of which pipeline and time, and how many seconds late."""
    for line in log.splitlines():
        if '"late_seconds"' in line:
            said = json.loads(line)
            at = datetime.fromisoformat(said["scheduled_for"])
            yield (said["pipeline"], at), said["late_seconds"]


def ledger_of(farm):
    """Every tick by pipeline, in order; and of each the runs that the history has."""
    ticks = {}
    for key, tick in farm.store.ticks(limit=10**6):
        ticks.setdefault(key.pipeline, []).append(tick)
    for mine in ticks.values():
        mine.sort(key=lambda tick: tick.scheduled_for)
    runs = Counter()
    for run in farm.store.runs(limit=10**6):
        runs[run.pipeline, run.logical_date] += 1
    return ticks, runs


def check(farm, period):
    """None was lost, none doubled: each time has a row, and each row that ran has one run."""
    ticks, runs = ledger_of(farm)
    for pipeline, mine in ticks.items():
        gaps = {
            (later.scheduled_for - one.scheduled_for).total_seconds()
            for one, later in pairwise(mine)
        }
        assert gaps <= {period}, f"{pipeline}: {gaps}"
        for tick in mine:
            date = tick.interval.logical_date
            if tick.state is TickState.DONE:
                assert tick.run_id, f"{pipeline} {tick}"
                assert farm.store.run(tick.run_id).state == "success", f"{pipeline} {tick}"
                assert runs.pop((pipeline, date)) == 1, f"{pipeline} {date} ran twice"
            else:
                assert tick.state in (TickState.QUEUED, TickState.STARTED), f"{pipeline} {tick}"
                begun = runs.pop((pipeline, date), 0)
                assert begun == int(bool(tick.run_id)), f"{pipeline} {tick} {begun}"
    assert not runs, f"runs without a tick: {runs}"
    return sum(map(len, ticks.values()))
