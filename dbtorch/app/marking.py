"""A person says how a node of a run stands. Pure: a record in, changes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dbtorch.app.takeover import take_over
from dbtorch.core.history.records import NodeRecord, RunRecord, held_back
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import Reason
from dbtorch.core.model.state import RunState, State

_BAD = frozenset({State.FAILED, State.UPSTREAM_FAILED, State.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What a mark comes to."""

    changes: tuple[Changed, ...]
    run_state: RunState


def mark(run: RunRecord, node: NodeRecord, state: State, why: Reason, now: datetime) -> Marked:
    """Give a node of a run that nobody drives another final state.

    Attempts stay as they are, but for those whose supervisor is gone: they are lost. A run in which
    everything is good becomes a success, one in which something is marked failed becomes failed.
    """
    taken = take_over(run)
    before = next(one for one in taken.nodes if one.id == node.id)
    change = Changed(
        node_id=node.id,
        attempt=before.last_attempt,
        before=before.state,
        state=state,
        at=now,
        reason=why,
    )
    nodes = [replace(one, state=state) if one.id == node.id else one for one in taken.nodes]
    return Marked(changes=(*taken.changes, change), run_state=_run_state(run, state, nodes))


def _run_state(run: RunRecord, marked: State, nodes: Sequence[NodeRecord]) -> RunState:
    if marked is State.FAILED:
        return RunState.FAILED
    states = [node.state for node in nodes if node.kind is not Kind.SESSION]
    if not all(state.final and state not in _BAD for state in states):
        return run.state
    return RunState.GATED if held_back(nodes, run.edges) else RunState.SUCCESS
