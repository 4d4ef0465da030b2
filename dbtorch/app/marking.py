"""A person says how a node of a run stands. Pure: a record in, changes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dbtorch.app.takeover import attempts_of, take_over
from dbtorch.core.events import Changed
from dbtorch.core.graph import Kind
from dbtorch.core.history import NodeRecord, RunRecord
from dbtorch.core.state import RunState, State

_BAD = frozenset({State.FAILED, State.UPSTREAM_FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What a mark comes to."""

    changes: tuple[Changed, ...]
    run_state: RunState


def mark(run: RunRecord, node: NodeRecord, state: State, why: str, now: datetime) -> Marked:
    """Give a node of a run that nobody drives another final state.

    Attempts stay as they are, but for those whose supervisor is gone: they are lost. A run in which
    everything is good becomes a success, one in which something is marked failed becomes failed.
    """
    taken = take_over(run)
    before = next(one for one in taken.nodes if one.id == node.id)
    change = Changed(
        node_id=node.id,
        attempt=attempts_of(before),
        before=before.state,
        state=state,
        at=now,
        reason=why,
    )
    states = [
        state if other.id == node.id else other.state
        for other in taken.nodes
        if other.kind is not Kind.SESSION
    ]
    return Marked(changes=(*taken.changes, change), run_state=_run_state(run, state, states))


def _run_state(run: RunRecord, marked: State, states: Iterable[State]) -> RunState:
    if marked is State.FAILED:
        return RunState.FAILED
    good = all(state.final and state not in _BAD for state in states)
    return RunState.SUCCESS if good else run.state
