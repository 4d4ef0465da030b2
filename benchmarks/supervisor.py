"""What the supervisor itself needs: memory in a real run, and time per node without dbt.

Memory is the peak of the `dbtorch run` process alone, the dbt worker left out. Time is that of
planning a random graph and of driving it through the in-memory engine, in one process.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from measure import Target, parser, require_results, spend, verdict, workshop
from project import layers, write_project

from dbtorch.adapters.clock import SystemClock
from dbtorch.app.inbox import Inbox
from dbtorch.app.planning import make_plan
from dbtorch.app.runner import Runner
from dbtorch.app.step_wiring import Choice
from dbtorch.core.config import Config
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.state import RunState
from dbtorch.core.run.machine import Run
from dbtorch.ports.engine import Selected
from dbtorch.testing import MemoryEngine, MemorySteps

SIZES = (5_000, 10_000, 20_000)

#: Runs dbtorch and leaves the peak of its own memory in a file. Linux says it in kB; elsewhere
#: getrusage does, and on a Mac in bytes.
WRAPPER = """\
import re, resource, sys
from dbtorch.cli.main import main
try:
    code = main(sys.argv[2:])
finally:
    try:
        peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    open(sys.argv[1], "w").write(str(peak))
sys.exit(code)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Seconds that planning and driving took."""

    plan: float
    drive: float
    cpu: float  # of both

    @property
    def wall(self) -> float:
        """Both together."""
        return self.plan + self.drive


def main() -> int:
    options = parser(__doc__, rounds=5)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--tests", type=int, default=500)
    options.add_argument("--threads", type=int, default=4)
    options.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="nodes of the graphs")
    options.add_argument("--no-memory", action="store_true", help="leave out the real run")
    given = options.parse_args()
    targets = speed(given.rounds, given.threads, given.sizes)
    if not given.no_memory:
        with workshop(given.folder) as folder:
            models = layers(given.models)
            project = write_project(
                folder / "project", models, tests=given.tests, threads=given.threads
            )
            # The second run plans with the history of the first.
            peak = max(peak_memory(project, folder / f"peak{number}") for number in range(2))
            require_results(project, given.models + given.tests)
        targets.append(
            Target(
                name=f"peak memory at {given.models + given.tests} nodes",
                value=peak / 1024**2,
                limit=120,
                unit=" MB",
            )
        )
    return verdict(targets, check=given.check)


def peak_memory(project: Path, answer: Path) -> int:
    """Bytes that the supervisor of a real run had at most."""
    spend([sys.executable, "-c", WRAPPER, str(answer), "run"], cwd=project)
    return int(answer.read_text())


def speed(rounds: int, threads: int, sizes: Sequence[int]) -> list[Target]:
    """Time of graphs of growing size, in turns."""
    graphs = {size: graph(size, threads) for size in sizes}
    gc.collect()
    gc.freeze()  # the graphs are ours: collecting them is no work of the supervisor's
    taken: dict[int, list[Timed]] = {size: [] for size in sizes}
    for number in range(rounds):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            taken[size].append(plan_and_drive(graphs[size]))
    print(f"medians of {rounds:<10} {'plan':>8} {'drive':>8} {'CPU':>8}  CPU a node")
    for size, found in taken.items():
        columns = (middle(found, of) for of in (_plan, _drive, _cpu))
        print(
            f"{size:>6,} nodes        ",
            " ".join(f"{seconds:6.2f} s" for seconds in columns),
            f" {middle(found, _cpu) / size * 1e6:4.0f} us",
        )
    small, large = min(sizes), max(sizes)
    growth = (middle(taken[large], _cpu) / large) / (middle(taken[small], _cpu) / small)
    rate = large / middle(taken[large], _wall)
    return [
        Target(name=f"nodes a second at {large:,}", value=rate, limit=5_000, at_least=True),
        Target(name=f"CPU a node at {large:,} / at {small:,}", value=growth, limit=1.3),
    ]


def plan_and_drive(selected: Selected) -> Timed:
    """Plan a graph and drive it to its end."""
    gc.collect()
    inbox = Inbox()
    began, cpu = time.perf_counter(), time.process_time()
    planned = make_plan(selected, Config(), {}, {}, Choice())
    run = Run(planned.plan, random=random.random)
    planning = time.perf_counter()
    Runner(
        run,
        planned,
        engine=MemoryEngine(inbox.put, selected),
        steps=MemorySteps(inbox.put),
        inbox=inbox,
        clock=SystemClock(),
        recorder=lambda _: None,
    ).drive()
    assert run.state is RunState.SUCCESS
    ended = time.perf_counter()
    return Timed(plan=planning - began, drive=ended - planning, cpu=time.process_time() - cpu)


def graph(size: int, threads: int) -> Selected:
    """What an engine answers for a project of this size."""
    models = layers(size, depth=20)
    nodes = tuple(
        Node(id=f"model.bench.{model.name}", kind=Kind.MODEL, name=model.name) for model in models
    )
    edges = tuple(
        (f"model.bench.{parent}", f"model.bench.{model.name}")
        for model in models
        for parent in model.parents
    )
    return Selected(
        nodes=nodes,
        edges=edges,
        selected=frozenset(node.id for node in nodes),
        selected_edges=edges,
        selected_sources=frozenset(),
        resolved={},
        hooks=(),
        threads=threads,
        fail_fast=False,
        target={"name": "dev", "type": "duckdb"},
        exclusive_file=None,
        vars={},
        dbt_version="",
        adapter="",
        project="bench",
        project_dir=Path(),
        target_path=Path("target"),
        manifest_hash="",
    )


def middle(found: list[Timed], of: Callable[[Timed], float]) -> float:
    """Median of one figure."""
    return median(of(timed) for timed in found)


def _plan(timed: Timed) -> float:
    return timed.plan


def _drive(timed: Timed) -> float:
    return timed.drive


def _cpu(timed: Timed) -> float:
    return timed.cpu


def _wall(timed: Timed) -> float:
    return timed.wall


if __name__ == "__main__":
    sys.exit(main())
