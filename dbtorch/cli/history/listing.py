"""`dbtorch runs`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from dbtorch.adapters.clock import SystemClock
from dbtorch.cli.errors import OK
from dbtorch.cli.history.lookup import INTERRUPTED, IsAlive, holds_lease, state_of
from dbtorch.cli.render.colour import Colours, colours_for
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import ago, counted, local, took
from dbtorch.core.history import RunSummary
from dbtorch.core.state import RunState, State
from dbtorch.ports import Clock, Store

_HEAD = ("RUN", "PIPELINE", "TARGET", "STATE", "STARTED", "", "TOOK", "NODES")
_STATE = _HEAD.index("STATE")
_RIGHT = frozenset({_HEAD.index("TOOK")})


def runs(
    store: Store,
    *,
    limit: int = 20,
    pipeline: str | None = None,
    state: RunState | None = None,
    format: str = "text",
    echo: Callable[[str], Any],
    clock: Clock | None = None,
    is_alive: IsAlive | None = None,
    colours: Colours | None = None,
    zone: tzinfo | None = None,
) -> int:
    """List runs, newest first. Answers the exit code.

    ``clock``, ``colours`` and ``zone`` are this machine's when they are not given.
    """
    clock = clock or SystemClock()
    is_alive = is_alive or holds_lease(store, clock)
    found = store.runs(limit=limit, pipeline=pipeline, state=state)
    states = [_state(store, run, is_alive) for run in found]
    found = [_settled(run, state) for run, state in zip(found, states, strict=True)]
    if format == "json":
        echo(json.dumps([_json(run, state) for run, state in zip(found, states, strict=True)]))
        return OK
    if not found:
        narrowed = " like that" if pipeline or state else " yet; `dbtorch run` makes one"
        echo(f"No run has been recorded{narrowed}")
        return OK
    colours = colours or colours_for(sys.stdout, os.environ)
    now = clock.now()
    rows = [_row(run, state, now, zone) for run, state in zip(found, states, strict=True)]

    def paint(row: int, column: int, text: str) -> str:
        return colours.state(text, states[row]) if column == _STATE else text

    echo("\n".join(table(_HEAD, rows, right=_RIGHT, paint=paint)))
    return OK


def _state(store: Store, run: RunSummary, is_alive: IsAlive) -> str:
    """A running run is read as a whole: its lease has the project's name."""
    if run.state is not RunState.RUNNING:
        return run.state.value
    whole = store.run(run.run_id, transitions=False)
    return run.state.value if whole is None else state_of(whole, is_alive)


def _settled(run: RunSummary, state: str) -> RunSummary:
    """Without nodes that run where nobody drives the run: they are lost, which is a failure."""
    if state != INTERRUPTED:
        return run
    counts: dict[State, int] = {}
    for node_state, count in run.counts.items():
        settled = State.FAILED if node_state.active else node_state
        counts[settled] = counts.get(settled, 0) + count
    return replace(run, counts=counts)


def _row(run: RunSummary, state: str, now: datetime, zone: tzinfo | None) -> list[str]:
    end = run.finished_at or (now if state == RunState.RUNNING else None)
    return [
        run.run_id,
        run.pipeline,
        run.target,
        state,
        local(run.started_at, zone),
        ago(run.started_at, now),
        took((end - run.started_at).total_seconds() if end else None),
        counted(run.counts),
    ]


def _json(run: RunSummary, state: str) -> dict[str, Any]:
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "target": run.target,
        "logical_date": run.logical_date.isoformat(),
        "state": state,
        "started_at": run.started_at.isoformat(),
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "seconds": seconds,
        "counts": {state.value: count for state, count in run.counts.items() if count},
    }
