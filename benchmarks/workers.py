"""Workers, supervisors and connections that die at random, and what came of the steps.

Three workers (two of them in containers of their own as far as the kernel is concerned) and one
supervisor are separate processes that share a Postgres; each worker reaches it through a proxy. In
each round a run of twelve steps is disturbed: kill -9 of a worker, of the supervisor (who then goes
on with the run, on the same machine or as if on another), SIGTERM to a worker, connections that
hang or are cut, messages that come twice. Then everything is let run to its end, and looked at: no
attempt ran twice, no two of a step at once, none is missing, none is green that did not end.

The supervisor is dbtorch's without a dbt. With ``--queue dask`` a Dask cluster brings the word; of
what its workers lose with themselves the supervisor sends word again. Needs Linux, root (for
`unshare`), and a Postgres where databases may be created (DBTORCH_TEST_POSTGRES).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import Target, parser, verdict, workshop

from tests.dask_scheduler import dask_scheduler
from tests.postgres import VARIABLE, with_database
from tests.proxy import Proxy

#: Seconds that an attempt lasts.
LASTS = (0.3, 4.0)

#: Seconds that a round is disturbed, and between two disturbances.
DISTURBED, EVERY = 16.0, (0.3, 3.0)

#: Seconds after which a worker or supervisor that is not heard of is given up.
LEASE = "6"

#: Seconds after the last disturbance in which a run must be over.
PATIENCE = 180.0

CHAINS, LENGTH = 4, 3

#: What an attempt does: it takes a lock that nobody else may have, and writes what it sees.
ATTEMPT = """
import fcntl, json, os, random, sys, time
step, number, run = (os.environ["DBTORCH_" + name] for name in ("STEP", "ATTEMPT", "RUN_ID"))
def say(what):
    line = json.dumps({"run": run, "step": step, "attempt": int(number), "what": what})
    os.write(out, (line + "\\n").encode())
out = os.open("%(evidence)s", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
lock = os.open("%(locks)s/" + step, os.O_RDWR | os.O_CREAT)
say("begun")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    say("at once")
    fcntl.flock(lock, fcntl.LOCK_EX)
print("line of", step, number, flush=True)
time.sleep(random.uniform(%(least)s, %(most)s))
say("ended")
"""


def main() -> int:
    if sys.argv[1:2] == ["supervise"]:
        return supervise(*sys.argv[2:])
    options = parser(__doc__, rounds=100)
    options.add_argument("--seed", default=os.urandom(4).hex(), help="the same choices again")
    options.add_argument("--queue", default="postgres", choices=["postgres", "dask"])
    given = options.parse_args()
    server = os.environ[VARIABLE]
    import psycopg

    name = f"dbtorch_workers_{os.urandom(4).hex()}"
    good, counts = 0, Counts()
    with (
        ExitStack() as stack,
        workshop(given.folder) as folder,
        psycopg.connect(server, autocommit=True) as admin,
    ):
        if given.queue == "dask":
            os.environ["DBTORCH_QUEUE_URL"] = stack.enter_context(dask_scheduler(folder))
        admin.execute(f"CREATE DATABASE {name}")
        try:
            print(f"seed {given.seed}", flush=True)
            site = Site(folder, with_database(server, name))
            for number in range(1, given.rounds + 1):
                wrong = site.play(number, random.Random(f"{given.seed}-{number}"), counts)
                good += not wrong
                print(f"round {number:3}  {counts.line()}  {wrong or 'ok'}", flush=True)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    print(json.dumps(counts.of))
    return verdict(
        [Target(name=f"rounds of {given.rounds} without a deviation", value=good,
                limit=given.rounds, at_least=True)],
        check=given.check,
    )  # fmt: skip


@dataclass(slots=True)
class Counts:
    """What was done, and what came of it, in all rounds and in the last one."""

    of: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, count: int = 1) -> None:
        """Count something."""
        self.of[what] = self.of.get(what, 0) + count
        self.last[what] = self.last.get(what, 0) + count

    def line(self) -> str:
        """What there was since the last line."""
        said = ", ".join(f"{what} {count}" for what, count in sorted(self.last.items()))
        self.last = {}
        return said


class Process:
    """A process that is started again when it has died; its group dies with it."""

    def __init__(self, site: Site, argv: list[str], log: Path, *, contained: bool) -> None:
        self._site, self._argv, self._log, self._contained = site, argv, log, contained
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, url: str, contained: bool | None = None) -> None:
        """Start it; ``contained`` says whether it is as if on another machine."""
        away = self._contained if contained is None else contained
        alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"] if away else []
        environ = {**os.environ, "DBTORCH_DATABASE_URL": url, "DBTORCH_LEASE_LIFETIME": LEASE}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*alone, *self._argv],
                cwd=self._site.project,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Kill it, and whatever is in its container."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """SIGTERM to who works, also where that is in a container."""
        if self.process is None or not self.runs:
            return
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if self._contained else []
        for pid in pids or [self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


class Worker(Process):
    """`dbtorch worker` behind a proxy."""

    def __init__(self, site: Site, number: int) -> None:
        argv = [sys.executable, "-m", "dbtorch", "worker", "--queue", "crm", "--at-once", "2"]
        log = site.folder / f"worker-{number}.log"
        super().__init__(site, argv, log, contained=number != 0)
        self._proxy: Proxy | None = None
        self._port = 0
        self.back_at = 0.0

    def connect(self) -> str:
        """A proxy that hands everything on; answers the URL behind it."""
        if self._proxy is None:
            server = urlsplit(self._site.url)
            self._proxy = Proxy(server.hostname, server.port or 5432, self._port)
            self._port = self._proxy.port
        return self._site.url.replace(
            f"{urlsplit(self._site.url).hostname}:{urlsplit(self._site.url).port}",
            f"127.0.0.1:{self._port}",
        )

    def hang(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        if self._proxy is not None:
            self._proxy.hang()

    def cut(self) -> None:
        """Close its connections."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


class Site:
    """A project, three workers, a supervisor and a Postgres."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.project = folder / "project"
        self.evidence = folder / "evidence.jsonl"
        (folder / "locks").mkdir()
        self.project.mkdir()
        self._write_project()
        self.workers = [Worker(self, number) for number in range(3)]

    def _write_project(self) -> None:
        said = {
            "evidence": self.evidence,
            "locks": self.folder / "locks",
            "least": LASTS[0],
            "most": LASTS[1],
        }
        (self.project / "attempt.py").write_text(ATTEMPT % said)
        (self.project / "dbt_project.yml").write_text("name: bench\nversion: '1'\nprofile: bench\n")
        (self.project / "profiles.yml").write_text(
            "bench: {target: dev, outputs: {dev: {type: duckdb, path: x.duckdb}}}\n"
        )
        command = [sys.executable, "-S", "attempt.py"]
        steps = {name: {"command": command, "queue": "crm"} for name in names()}
        config = {"version": 1, "project_id": "bench/workers", "steps": steps}
        (self.project / "dbtorch.yml").write_text(json.dumps(config))

    def play(self, number: int, chance: random.Random, counts: Counts) -> str:
        """One round; answers what went wrong."""
        self.evidence.write_text("")
        run_id = f"round-{number}"
        argv = [sys.executable, __file__, "supervise", str(self.project), run_id]
        log = self.folder / "supervisor.log"
        supervisor = Process(self, argv, log, contained=False)
        with ExitStack() as stack:
            for worker in self.workers:
                worker.start(worker.connect())
                stack.callback(worker.cut)
                stack.callback(worker.kill)
            supervisor.start(self.url, contained=chance.random() < 0.5)
            stack.callback(supervisor.kill)
            self._disturb(supervisor, chance, counts)
            over = self._finish(supervisor)
        if not over:
            return f"the run was not over within {PATIENCE:g} s"
        return "; ".join(self._wrong(run_id, counts))

    def _disturb(self, supervisor: Process, chance: random.Random, counts: Counts) -> None:
        begins_by = time.monotonic() + PATIENCE
        while not self.evidence.read_text() and time.monotonic() < begins_by:
            time.sleep(0.05)
        until = time.monotonic() + DISTURBED
        while time.monotonic() < until:
            time.sleep(chance.uniform(*EVERY))
            what = chance.choices(
                ("worker killed", "supervisor killed", "worker told to end", "worker cut off",
                 "connections cut", "message twice"),
                (4, 3, 1, 3, 2, 3),
            )[0]  # fmt: skip
            worker = chance.choice(self.workers)
            counts.add(what)
            if what == "worker killed":
                worker.kill()
            elif what == "supervisor killed":
                supervisor.kill()
            elif what == "worker told to end":
                worker.end()
            elif what == "worker cut off":
                worker.hang()
                worker.back_at = time.monotonic() + chance.uniform(1, 9)
            elif what == "connections cut":
                worker.cut()
            else:
                self._send_again(chance)
            self._start_again(supervisor, contained=chance.random() < 0.5)

    def _start_again(self, supervisor: Process, *, contained: bool) -> None:
        for worker in self.workers:
            if worker.back_at:
                if time.monotonic() < worker.back_at:
                    continue
                worker.cut()
                worker.back_at = 0.0
            url = worker.connect()
            if not worker.runs:
                worker.start(url)
        if not supervisor.runs and supervisor.process and supervisor.process.returncode != 0:
            supervisor.start(self.url, contained=contained)

    def _send_again(self, chance: random.Random) -> None:
        """A message of anything that is offered, claimed or over comes once more."""
        import psycopg

        from dbtorch.service.wiring.queue import address, open_queue

        with psycopg.connect(self.url) as connection, suppress(psycopg.Error):
            found = connection.execute("SELECT token FROM dbtorch_offers").fetchall()
            if found:
                queue = open_queue(self.url, "this")
                queue.send(address("bench/workers", "crm"), chance.choice(found)[0])
                queue.close()

    def _finish(self, supervisor: Process) -> bool:
        """Let everything go on to its end."""
        until = time.monotonic() + PATIENCE
        for worker in self.workers:
            worker.back_at = worker.back_at and time.monotonic()
        while time.monotonic() < until:
            self._start_again(supervisor, contained=False)
            if supervisor.process is not None and supervisor.process.poll() == 0:
                return True
            time.sleep(0.1)
        return False

    def _wrong(self, run_id: str, counts: Counts) -> list[str]:
        """What is not as it must be."""
        lines = [json.loads(line) for line in self.evidence.read_text().splitlines()]
        begun, ended = (
            [(line["step"], line["attempt"]) for line in lines if line["what"] == what]
            for what in ("begun", "ended")
        )
        wrong = [f"{line} ran at once with another" for line in lines if line["what"] == "at once"]
        wrong += [f"{one} ran twice" for one in set(begun) if begun.count(one) > 1]
        counts.add("attempts", len(begun))
        store = _store(self.project, self.url)
        try:
            run = store.run(run_id)
            assert run is not None
            if run.state != "success":
                wrong.append(f"the run is {run.state}")
            for node in run.nodes:
                good = [one.number for one in node.attempts if one.state == "success"]
                counts.add("lost", sum(one.lost for one in node.attempts))
                if len(good) != 1 or node.state != "success":
                    wrong.append(f"{node.id} is {node.state}, attempts {good} succeeded")
                if any((node.name, number) not in ended for number in good):
                    wrong.append(f"{node.id} is green, and attempt {good} did not end")
                known = {one.number for one in node.attempts}
                wrong += [f"{one} is in no history" for one in begun
                          if one[0] == node.name and one[1] not in known]  # fmt: skip
                logs = self.project / ".dbtorch" / "runs" / run_id / "nodes"
                for number in good:
                    said = (logs / f"{node.id}.{number}.log").read_text()
                    if said != f"line of {node.name} {number}\n":
                        wrong.append(f"the log of {node.id} says {said!r}")
            if store.queue_depths():
                wrong.append(f"left behind: {store.queue_depths()}")
        finally:
            store.close()
        return wrong


def names() -> list[str]:
    return [f"s{chain}_{place}" for chain in range(CHAINS) for place in range(LENGTH)]


def _store(project_dir: Path, url: str):  # noqa: ANN202
    from dbtorch.service.history.store import history_of
    from dbtorch.service.project.options import RunOptions
    from dbtorch.service.project.project import open_project

    options = RunOptions(project_dir=str(project_dir), database_url=url)
    return history_of(open_project(str(project_dir)), options, create=True)


# -------------------------------------------------------------------- the supervisor


def supervise(project_dir: str, run_id: str) -> int:
    """Drive a run, or go on with it, without a dbt; 0 when it is over."""
    import logging

    from dbtorch.adapters.clock import SystemClock
    from dbtorch.adapters.processes import subreaper
    from dbtorch.adapters.run_files import RunFiles
    from dbtorch.adapters.state_dir import make_state_dir
    from dbtorch.app.inbox import Inbox
    from dbtorch.app.planning import Planned
    from dbtorch.app.resume import ResumeSpec, resume, start
    from dbtorch.app.runner import Runner
    from dbtorch.core.history.records import RunRecord
    from dbtorch.core.model.graph import Graph, Kind, Node
    from dbtorch.core.model.interval import until_now
    from dbtorch.core.model.policy import Policy, Retry
    from dbtorch.core.model.state import RunState
    from dbtorch.core.plan import Plan
    from dbtorch.core.run.machine import Run
    from dbtorch.ports.steps import StepContext
    from dbtorch.service.project.project import open_project
    from dbtorch.service.run.context import RunContext
    from dbtorch.service.run.control import RunControl
    from dbtorch.service.run.lease import hold_lease
    from dbtorch.service.wiring.queue import queue_for
    from dbtorch.service.wiring.steps import Far, build_steps
    from dbtorch.testing import MemoryEngine

    logging.basicConfig(level=logging.WARNING)
    subreaper.take_over()
    url = os.environ["DBTORCH_DATABASE_URL"]
    project = open_project(project_dir)
    store = _store(Path(project_dir), url)
    now = datetime.now(UTC)
    run_context = RunContext(
        run_id=run_id, pipeline="default", interval=until_now(None, now), now=now
    )
    control, inbox = RunControl(), Inbox()
    nodes = [Node(id=f"step.{name}", kind=Kind.STEP, name=name) for name in names()]
    edges = [
        (f"step.s{chain}_{place}", f"step.s{chain}_{place + 1}")
        for chain in range(CHAINS)
        for place in range(LENGTH - 1)
    ]
    again = Policy(retry=Retry.times(1000, delay=0.1, max_delay=0.1))
    plan = Plan(graph=Graph(nodes, edges), policies={node.id: again for node in nodes})
    with ExitStack() as stack:
        known = store.run(run_id, transitions=False)
        held = hold_lease(
            stack, store, run_context, inbox, control,
            goes_on=known is not None, note=print, wait=PATIENCE,
        )  # fmt: skip
        earlier = store.run(run_id)
        resumed = start(plan) if earlier is None else resume(earlier, plan, ResumeSpec(), now)
        record = earlier or RunRecord(
            run_id=run_id, pipeline="default", project="bench", target="dev", logical_date=now,
            data_interval_start=None, data_interval_end=now, state=RunState.RUNNING, started_at=now,
        )  # fmt: skip
        store.begin(record, resumed.nodes, resumed.changes, anew=resumed.anew, lease=held.lease)
        queue = queue_for(project.config.steps, plan.graph.nodes, url)
        assert queue is not None
        context = StepContext(
            run_id=run_id, project="bench", pipeline="default", logical_date=now,
            data_interval_start=None, data_interval_end=now, project_dir=project.dir,
            target={"name": "dev"},
        )  # fmt: skip
        steps = build_steps(
            project, context, RunFiles(make_state_dir(project.dir), run_id), run_context, inbox.put,
            store=store, far=Far(queue=queue, lease=held.lease, before=held.before),
        )  # fmt: skip
        run = Run(plan, random=random.random, prior=resumed.prior)
        try:
            Runner(
                run,
                Planned(
                    plan=plan,
                    on_engine=frozenset(),
                    opens_database=frozenset(),
                    project=plan.graph,
                ),
                engine=MemoryEngine(inbox.put, None),
                steps=steps,
                inbox=inbox,
                clock=SystemClock(),
                recorder=lambda changes: store.record(run_id, changes, lease=held.lease),
            ).drive()
        finally:
            steps.close()
        store.end(run_id, run.state, datetime.now(UTC), lease=held.lease)
        print(run_id, run.state)
    store.close()
    return 0 if run.state is RunState.SUCCESS else 1


if __name__ == "__main__":
    sys.exit(main())
