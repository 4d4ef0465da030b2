"""`dbtorch runs`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from dbtorch.adapters.clock import SystemClock
from dbtorch.app.abandoned import as_it_is
from dbtorch.cli.errors import OK
from dbtorch.cli.history.lookup import INTERRUPTED, IsAlive, holds_lease, state_of
from dbtorch.cli.render.colour import Colours, colours_for
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import ago, counted, local, took
from dbtorch.core.graph import Kind
from dbtorch.core.history import RunSummary
from dbtorch.core.state import RunState
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
    seen = [_as_it_is(store, run, is_alive) for run in found]
    found, states = [run for run, _ in seen], [state for _, state in seen]
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


def _as_it_is(store: Store, run: RunSummary, is_alive: IsAlive) -> tuple[RunSummary, str]:
    """A run and its state; of one that nobody drives any more, nothing is under way.

    A running run is read as a whole: its lease has the project's name.
    """
    whole = None if run.state is not RunState.RUNNING else store.run(run.run_id, transitions=False)
    state = run.state.value if whole is None else state_of(whole, is_alive)
    if whole is None or state != INTERRUPTED:
        return run, state
    nodes = (node for node in as_it_is(whole).nodes if node.kind is not Kind.SESSION)
    return replace(run, counts=Counter(node.state for node in nodes)), state


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
