"""How long reading commands take, compared with an interpreter that does nothing.

`dbtorch --help`, and `dbtorch runs` on a history of 1,000 runs that the Store wrote.
"""

from __future__ import annotations

import itertools
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from measure import Target, in_turns, parser, print_medians, spend, verdict, walls, workshop
from project import Model, write_project

from dbtorch.adapters.store import open_store
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.state import RunState, State


def main() -> int:
    options = parser(__doc__, rounds=20)
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--nodes", type=int, default=50, help="of each run; default 50")
    given = options.parse_args()
    with workshop(given.folder) as folder:
        project = write_project(folder / "project", [Model(name="m")], threads=1)
        write_history(project, given.runs, given.nodes)
        sides = {
            "python -c pass": partial(spend, [sys.executable, "-c", "pass"], cwd=project),
            "dbtorch --help": partial(spend, [*given.dbtorch, "--help"], cwd=project),
            "dbtorch runs": partial(spend, [*given.dbtorch, "runs"], cwd=project),
        }
        for side in sides.values():
            side()  # reads the files of the interpreter from the disk
        taken = in_turns(sides, given.rounds, quiet=True)
    print_medians(taken)
    nothing = walls(taken["python -c pass"])
    return verdict(
        [
            Target(
                name=f"{name}, longer by", value=walls(taken[name]) - nothing, limit=0.25, unit=" s"
            )
            for name in ("dbtorch --help", "dbtorch runs")
        ],
        check=given.check,
    )


def write_history(project: Path, runs: int, nodes: int) -> None:
    """Runs of an hour each, one after the other, in which everything went well."""
    models = [Node(id=f"model.bench.m{n}", kind=Kind.MODEL, name=f"m{n}") for n in range(nodes)]
    store = open_store(None, project)
    for number in range(runs):
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        record = record_of(f"{start:%Y%m%dT%H%M%S}Z-{number:06x}", start)
        store.begin(record, models)
        store.record(record.run_id, [c for node in models for c in changes_of(node.id, start)])
        store.end(record.run_id, RunState.SUCCESS, start + timedelta(minutes=5))
    store.close()


def record_of(run_id: str, start: datetime) -> RunRecord:
    """A run that begins."""
    return RunRecord(
        run_id=run_id,
        pipeline="default",
        project="bench",
        target="dev",
        logical_date=start,
        data_interval_start=start,
        data_interval_end=start + timedelta(hours=1),
        state=RunState.RUNNING,
        started_at=start,
    )


def changes_of(id: str, start: datetime) -> list[Changed]:
    """Everything that happens to a node that succeeds."""
    states = (State.PENDING, State.QUEUED, State.RUNNING, State.SUCCESS)
    return [
        Changed(
            node_id=id,
            attempt=1,
            before=before,
            state=state,
            at=start + timedelta(seconds=second),
            outcome=Outcome(state=State.SUCCESS) if state is State.SUCCESS else None,
        )
        for second, (before, state) in enumerate(itertools.pairwise(states))
    ]


if __name__ == "__main__":
    sys.exit(main())
