"""Servers over one Postgres: fail-over, and a soak.

    python benchmarks/serving.py failover --url postgresql://… --rounds 100
    python benchmarks/serving.py soak --url postgresql://… --pipelines 200 --period 8 --spread \
        --max-runs 16
    python benchmarks/serving.py soak --url postgresql://… --pipelines 1000 --period 300 --spread \
        --minutes 3

Their runs are short programs without a dbt: of fail-over `tests/serving/run.py`, of a soak one that
has the benchmark do the same, so that children cost next to nothing (`tests/serving/runner.py`).
The database is to be empty.

Measured on two cores that other test runs shared, with Postgres on the same machine:

- fail-over, 100 servers killed outright of three whose clocks are 30 s apart, half of their runs
  with them, at a load of 13 to 28: 6,120 ticks, each with one run, none lost; 117 starts were taken
  over.
- 1,000 pipelines every 300 s, spread, for 3 minutes, at a load of 2 to 4: 600 ticks, each with one
  run, none lost; lateness p50 0.039 s, p99 0.126 s; memory 51.4 to 51.5 MiB; 0.18 of a core.
- 200 pipelines every 8 s, spread, 16 places, for 10 minutes, with nothing else to do: 15,025 ticks,
  each with one run, none lost; memory 51.7 MiB from the first minute to the last; lateness p50 0.12
  to 0.14 s, p99 0.56 to 0.63 s in each minute (25 are due in the same second); 13 ms of CPU of
  `serve` for each run.
- 200 pipelines every 20 s with 8 places, beside other work at a load of 3 to 6: 6,010 ticks, each
  with one run, none lost; memory flat; p99 0.74 to 0.91 s, and 0.13 to 0.16 s with 16 places.
- fail-over on SQLite, 8 of three servers killed: 528 ticks, each with one run, 16 taken over.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.serving.farm import Farm, a_project, check, starts
from tests.serving.runner import running


def failover(given: argparse.Namespace) -> None:
    """Kill one of three servers with clocks 30 s apart, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        project = a_project(Path(folder), 6, period=2)
        with Farm(project, given.url, skews=(0.0, 30.0, -30.0)) as farm:
            for _ in range(3):
                farm.start()
            for number in range(given.rounds):
                farm.await_runs(3)
                farm.kill_one()
                farm.start()
                if number % 10 == 9:
                    print(f"{number + 1} servers killed, {farm.done()} runs done", flush=True)
            farm.await_runs(12)
            farm.end()
            ticks = check(farm, 2.0)
            again = farm.logs().count('"scheduled_for"') - farm.done()
            print(f"{ticks} ticks, each with one run, none lost; {again} starts were taken over")


def soak(given: argparse.Namespace) -> None:
    """Hundreds of pipelines every few seconds: memory and lateness of one server, by minute."""
    with tempfile.TemporaryDirectory() as folder:
        project = a_project(Path(folder), given.pipelines, given.period, spread=given.spread)
        farm = Farm(project, given.url, takes=0.0, max_runs=given.max_runs)
        with farm, running(Path(folder), farm.store) as runner:
            farm.environ["RUNNER"] = runner
            server = farm.start()
            until, began, used = time.monotonic() + given.minutes * 60, time.monotonic(), 0.0
            seen = 0
            while time.monotonic() < until:
                time.sleep(given.minutes * 60 / 10)
                late = [seconds for _, seconds in starts(farm.logs())]
                newest, seen, before = late[seen:], len(late), used
                used = cpu(server.pid)
                print(
                    f"{time.monotonic() - began:5.0f} s  {memory(server.pid):6.1f} MiB"
                    f"  {len(newest)} starts, late p50 {at(newest, 0.5):.3f} s,"
                    f" p99 {at(newest, 0.99):.3f} s, CPU {used - before:.1f} s,"
                    f" load {os.getloadavg()[0]:.0f}",
                    flush=True,
                )
            farm.end()
            late = [seconds for _, seconds in starts(farm.logs())]
            print(f"all: late p50 {at(late, 0.5):.3f} s, p99 {at(late, 0.99):.3f} s")
            print(f"{check(farm, given.period)} ticks, each with one run, none lost")


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used itself."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """MiB that a process has in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def at(values: list[float], part: float) -> float:
    """A quantile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("failover", "soak"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pipelines", type=int, default=200)
    parser.add_argument("--period", type=int, default=20)
    parser.add_argument("--max-runs", type=int, default=8)
    parser.add_argument("--spread", action="store_true", help="not all at the same moment")
    found = parser.parse_args()
    {"failover": failover, "soak": soak}[found.what](found)
