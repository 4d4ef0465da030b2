"""A list of runs, as text and JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime, tzinfo

from dbtorch.cli.text.colour import Colours, colours_for
from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import to_json
from dbtorch.cli.text.words import counted, local
from dbtorch.core.history.records import seconds_at_work
from dbtorch.core.model.state import RunState
from dbtorch.core.text.phrases import ago, took
from dbtorch.service.history.run_json import summary_json
from dbtorch.service.history.runs import ListedRun

_HEAD = ("RUN", "PIPELINE", "TARGET", "TRIGGER", "STATE", "STARTED", "", "TOOK", "NODES")
_STATE = _HEAD.index("STATE")
_RIGHT = frozenset({_HEAD.index("TOOK")})


def runs_json(found: Sequence[ListedRun]) -> str:
    """For programs."""
    return to_json([summary_json(one) for one in found], indent=2)


def runs_text(
    found: Sequence[ListedRun],
    *,
    now: datetime,
    narrowed: bool = False,
    colours: Colours | None = None,
    zone: tzinfo | None = None,
) -> str:
    """A table. ``narrowed`` says whether there may be other runs.

    ``colours`` and ``zone`` are this machine's when they are not given.
    """
    if not found:
        others = " like that" if narrowed else " yet; `dbtorch run` makes one"
        return f"No run has been recorded{others}"
    colours = colours or colours_for(sys.stdout, os.environ)

    def paint(row: int, column: int, text: str) -> str:
        return colours.state(text, found[row].state) if column == _STATE else text

    rows = [_row(one, now, zone) for one in found]
    return "\n".join(table(_HEAD, rows, right=_RIGHT, paint=paint))


def _row(listed: ListedRun, now: datetime, zone: tzinfo | None) -> list[str]:
    run, state = listed.run, listed.state
    end = run.finished_at or (now if state == RunState.RUNNING else None)
    return [
        run.run_id,
        f"{run.pipeline} (part)" if run.partial else run.pipeline,
        run.target,
        run.trigger,
        state,
        local(run.started_at, zone),
        ago(run.started_at, now),
        took(seconds_at_work(run, end) if end else None),
        counted(run.counts),
    ]
