"""From the start of a run to its first dbt node: by hand, and of an idle `dbtorch serve`.

A server runs a pipeline every so many seconds; as soon as one of its runs has ended, the same
pipeline is run by hand. The time of a run of the server counts from when it was due, that of one by
hand from when its process was started; both end when the first dbt node is running.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from measure import Target, give_up, parser, verdict, workshop
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
        print(f"{name:<16} median {median(taken):.2f} s, {min(taken):.2f} to {max(taken):.2f}")
    value = median(warm) / median(cold)
    return verdict([Target(name="warm / cold", value=value, limit=0.3)], check=given.check)


def measured(given: Any, project: Path) -> tuple[list[float], list[float]]:
    """Seconds by hand and of the server, round by round."""
    cold: list[float] = []
    warm: list[float] = []
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
                events.wait(lambda event: event["event"] == "run_process_ended")
                if not begun["warm"] or due < busy + IDLE:
                    continue  # it was not idle
                warm.append(at(first) - due)
                cold.append(by_hand(given.dbtorch, project))
                print(f"round {len(warm)}  by hand {cold[-1]:6.2f} s   served {warm[-1]:6.2f} s")
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


def by_hand(dbtorch: list[str], project: Path) -> float:
    """Seconds until the first dbt node of a run by hand."""
    words = [*dbtorch, "run", "--pipeline", "often", "--log-format", "json"]
    began = time.time()
    done = subprocess.run(
        words, cwd=project, env=environ(), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        give_up(f"{done.stdout[-4000:]}\na run by hand failed")
    return next(at(event) for event in objects(done.stdout) if is_first(event)) - began


def objects(said: str) -> Iterator[Event]:
    """Lines as what they are."""
    return map(json.loads, said.splitlines())


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
