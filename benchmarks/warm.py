"""From the start of a run to its first dbt node: by hand, and of an idle `dbtorch serve`.

A server runs a pipeline every so many seconds; as soon as one of its runs has ended, the same
pipeline is run by hand. The time of a run of the server counts from when it was due, that of one by
hand from when its process was started; both end when the first dbt node is running. On a busy
machine look at the CPU that run and dbt had taken by then: waiting for a core is no part of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from measure import Target, Usage, cpus, give_up, parser, verdict, walls, workshop
from project import Model, write_project

#: Seconds for the first run of a server, and its dbt, to come up; and for one run.
PATIENCE = 300.0

#: Seconds that nothing has happened in when a run of the server is due: it is idle.
IDLE = 2.0

Event = dict[str, Any]


def main() -> int:
    options = parser(__doc__, rounds=7)
    options.add_argument("--models", type=int, default=200)
    options.add_argument("--period", type=int, default=30, help="seconds; default 30")
    given = options.parse_args()
    with workshop(given.folder) as folder:
        models = [Model(name=f"m{number}") for number in range(given.models)]
        project = write_project(folder / "project", models, threads=4)
        schedule = f"{{every: {given.period}s, catchup: none, overlap: skip}}"
        text = f"version: 1\npipelines:\n  often: {{select: m0, schedule: {schedule}}}\n"
        (project / "dbtorch.yml").write_text(text)
        by_hand(given.dbtorch, project)  # dbt keeps its parse
        cold, warm = measured(given, project)
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"\n{given.models} models; {cores} cores; load of the machine {load:.1f}")
    for name, taken in (("dbtorch run", cold), ("dbtorch serve", warm)):
        spread = sorted(usage.wall for usage in taken)
        print(f"{name:<16} wall {walls(taken):.2f} s, {spread[0]:.2f} to {spread[-1]:.2f};", end="")
        print(f" CPU {cpus(taken):.2f} s")
    targets = [
        Target(name="warm / cold, wall", value=walls(warm) / walls(cold), limit=0.3),
        Target(name="warm / cold, CPU", value=cpus(warm) / cpus(cold), limit=0.3),
    ]
    return verdict(targets, check=given.check)


def measured(given: Any, project: Path) -> tuple[list[Usage], list[Usage]]:
    """What it took by hand and of the server, round by round."""
    cold: list[Usage] = []
    warm: list[Usage] = []
    with subprocess.Popen(
        [*given.dbtorch, "serve", "--port", "0"],
        cwd=project,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        events = Events(server)
        try:
            events.wait(lambda event: event["event"] == "warm_worker_ready")
            while len(warm) < given.rounds:
                busy = time.time()
                begun = events.wait(lambda event: event["event"] == "run_process_started")
                due = datetime.fromisoformat(begun["scheduled_for"]).timestamp()
                first = events.wait(is_first)
                spent = cpu_of(begun["pid"])
                events.wait(lambda event: event["event"] == "run_process_ended")
                if not begun["warm"] or due < busy + IDLE:
                    continue  # it was not idle
                warm.append(Usage(wall=at(first) - due, cpu=spent))
                cold.append(by_hand(given.dbtorch, project))
                for name, one in (("by hand", cold[-1]), ("served", warm[-1])):
                    print(f"round {len(warm)}  {name:<8} {one.wall:6.2f} s, CPU {one.cpu:5.2f} s")
        finally:
            server.send_signal(signal.SIGTERM)
            events.rest()
    return cold, warm


class Events:
    """What a server says, a line at a time."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        assert server.stdout is not None
        self._lines = server.stdout
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._lines:
            self._queue.put(json.loads(line))

    def wait(self, wanted: Callable[[Event], bool]) -> Event:
        """The next event that is wanted; those before it are passed over."""
        while True:
            try:
                event = self._queue.get(timeout=PATIENCE)
            except queue.Empty:
                give_up("the server says nothing any more")
            if wanted(event):
                return event

    def rest(self) -> None:
        """Read until the server has ended."""
        self._thread.join()


def by_hand(dbtorch: list[str], project: Path) -> Usage:
    """What a run by hand takes until its first dbt node begins."""
    words = [*dbtorch, "run", "--pipeline", "often", "--log-format", "json"]
    began, usage = time.time(), None
    with subprocess.Popen(
        words, cwd=project, env=environ(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for event in map(json.loads, process.stdout):
            if usage is None and is_first(event):
                usage = Usage(wall=at(event) - began, cpu=cpu_of(process.pid))
    if process.returncode != 0 or usage is None:
        give_up("a run by hand failed")
    return usage


def cpu_of(run: int) -> float:
    """Seconds that a run has taken so far, and what it has started and still goes on."""
    children = Path(f"/proc/{run}/task/{run}/children").read_text().split()
    for task in Path(f"/proc/{run}/task").glob("*/children"):
        children += task.read_text().split()
    ticks = 0
    for pid in {str(run), *children}:
        with contextlib.suppress(OSError):  # it has just ended
            stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def is_first(event: Event) -> bool:
    """Whether a dbt node begins."""
    return event["event"] == "node" and event["state"] == "running"


def at(event: Event) -> float:
    """When it happened, in seconds."""
    return datetime.fromisoformat(event["ts"]).timestamp()


def environ() -> dict[str, str]:
    """Ours, where Python keeps what it has compiled, as it does wherever a package is installed."""
    return {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"}


if __name__ == "__main__":
    sys.exit(main())
