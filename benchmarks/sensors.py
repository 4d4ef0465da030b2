"""What steps cost that wait: a thousand of them, looking at files, through the run's own machine.

    python benchmarks/sensors.py --waiting 1000 --every 5 --seconds 30

Prints once a turn how many looks were made, threads, memory and CPU; `--check` fails where threads
or memory grow between the first and the last turn.
"""

from __future__ import annotations

import argparse
import queue
import resource
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

from dbtorch.adapters.steps.runner import StepRunner
from dbtorch.core.config import StepSpec
from dbtorch.core.model.events import Finished
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy
from dbtorch.core.model.wait import Wait
from dbtorch.core.plan import AT_ONCE, LOOKS, Plan
from dbtorch.core.run.machine import Run
from dbtorch.ports.steps import StepContext
from dbtorch.service.conditions.looker import Looker
from dbtorch.service.conditions.waiting import WaitingLooks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=1000)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), given.waiting, given.every, given.seconds)
    if given.check:
        first, last = measured[1], measured[-1]
        assert last["threads"] <= first["threads"], "threads grow"
        assert last["megabytes"] <= first["megabytes"] * 1.05, "memory grows"


def measure(folder: Path, waiting: int, every: float, seconds: float) -> list[dict[str, float]]:
    action = {"file": "landing/{{ run.pipeline }}.csv"}
    wait = Wait(every=every, patience=86_400)
    specs = {
        f"w{n}": StepSpec(name=f"w{n}", type="wait_for", action=action, wait=wait)
        for n in range(waiting)
    }
    now = datetime.now(UTC)
    context = StepContext(
        run_id="r1",
        project="shop",
        pipeline="daily",
        logical_date=now,
        data_interval_start=now,
        data_interval_end=now,
        project_dir=folder,
    )
    looker = Looker(project=SimpleNamespace(dir=folder), store=None, environ={})
    events: queue.SimpleQueue = queue.SimpleQueue()
    runner = StepRunner(
        events.put,
        specs,
        context,
        log_path=lambda attempt: folder / "logs" / f"{attempt.node_id}.log",
        work_dir=folder / "work",
        look=WaitingLooks(looker=looker, context=context, place="dev"),
    )
    nodes = [Node(id=spec.id, kind=Kind.STEP, name=name) for name, spec in specs.items()]
    policies = {node.id: Policy(slots={LOOKS: 1}, wait=wait) for node in nodes}
    run = Run(
        Plan(graph=Graph(nodes, []), policies=policies, pools={LOOKS: AT_ONCE}),
        random=lambda: 0.5,
    )
    until, turn, looks, written = time.monotonic() + seconds, time.monotonic() + every, 0, 0
    measured, cpu = [], time.process_time()
    while time.monotonic() < until:
        due = run.due(datetime.now(UTC))
        written += len(due.changes)
        for batch in due.batches:
            runner.start(batch)
        wakes = run.wake_at() or datetime.now(UTC) + timedelta(seconds=1)
        left = min((wakes - datetime.now(UTC)).total_seconds(), turn - time.monotonic())
        try:
            event = events.get(timeout=max(0.0, left))
            looks += isinstance(event, Finished)
            written += len(run.record(event, datetime.now(UTC)))
        except queue.Empty:
            pass
        if time.monotonic() >= turn:
            used, turn = time.process_time() - cpu, turn + every
            measured.append(
                {
                    "looks": looks,
                    "written": written,
                    "threads": threading.active_count(),
                    "megabytes": round(resident() / 1024, 1),
                    "cpu_percent": round(100 * used / every, 1),
                }
            )
            print(measured[-1], flush=True)
            looks, written, cpu = 0, 0, time.process_time()
    runner.close()
    return measured


def resident() -> int:
    """Kilobytes that this process has in memory."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
        return int(fields[1]) * resource.getpagesize() // 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
