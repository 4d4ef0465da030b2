"""Runs, newest first, each in the state in which it really is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from dbtorch.app.abandoned import as_it_is
from dbtorch.core.history.records import RunSummary
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import (
    INTERRUPTED,
    IsAlive,
    holds_lease,
    is_driven,
    state_of,
)


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run of a list."""

    run: RunSummary
    state: str  # a `RunState`, or `INTERRUPTED` when nobody drives it any more


def list_runs(
    store: Store,
    *,
    limit: int = 20,
    pipeline: str | None = None,
    state: RunState | None = None,
    counts: bool = True,
    is_alive: IsAlive | None = None,
) -> tuple[ListedRun, ...]:
    """At most ``limit`` runs, newest first; ``counts`` of nodes take most of the time.

    Raises `StoreError`.
    """
    found = store.runs(limit=limit, pipeline=pipeline, state=state, counts=counts)
    if not counts:
        return tuple(ListedRun(run, _state(store, run)) for run in found)
    is_alive = is_alive or holds_lease(store)
    return tuple(_as_it_is(store, run, is_alive) for run in found)


def _state(store: Store, run: RunSummary) -> str:
    alive = run.state is not RunState.RUNNING or is_driven(store, run.run_id)
    return run.state.value if alive else INTERRUPTED


def _as_it_is(store: Store, run: RunSummary, is_alive: IsAlive) -> ListedRun:
    """Of a run that nobody drives any more, nothing is under way.

    A running run is read as a whole: its lease has the project's name.
    """
    whole = None if run.state is not RunState.RUNNING else store.run(run.run_id, transitions=False)
    state = run.state.value if whole is None else state_of(whole, is_alive)
    if whole is None or state != INTERRUPTED:
        return ListedRun(run, state)
    nodes = (node for node in as_it_is(whole).nodes if node.kind is not Kind.SESSION)
    return ListedRun(replace(run, counts=Counter(node.state for node in nodes)), state)
