"""Backfills that there are: how far each is, and what people do with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from dbtorch.core.errors import DbtorchError, NotFound, NothingToDo
from dbtorch.core.schedule.backfill import Backfill, BackfillState, Part, PartState
from dbtorch.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a backfill is."""

    backfill: Backfill  # with all its parts
    at: datetime  # by the clock of the history
    driven: bool  # whether somebody runs it at this moment
    left: int  # parts to come
    eta: float | None = None  # seconds, by its runs so far


def progress(store: Store, *, over: bool = False) -> list[Progress]:
    """How far backfills are, the newest first; with ``over`` those that have ended, too."""
    view = store.ledger()
    found = store.backfills(over=over, parts=True)
    served = any(name.startswith(serving(store)) for name in view.leases)

    def is_driven(id: str) -> bool:
        mine = f"{driver_of(id)}/{store.identity.project_id}/"
        return served or any(name.startswith(mine) for name in view.leases)

    return [_progress(one, view.now, is_driven(one.id)) for one in reversed(found)]


def serving(store: Store) -> str:
    """What names of leases begin with that servers of a project hold."""
    return f"serve/{store.identity.project_id}/"


def driver_of(id: str) -> str:
    """What a command is called that drives a backfill."""
    return f"drive {id}"


def one_backfill(store: Store, text: str) -> Backfill:
    """The backfill that an id, its beginning, or its pipeline names. Raises `NotFound`."""
    found = store.backfills(over=True, parts=True)
    mine = [one for one in found if one.key.pipeline == text and not one.state.over]
    mine = mine or [one for one in found if text and one.id.startswith(text)]
    if len(mine) == 1:
        return mine[0]
    if mine:
        raise NotFound(f"{text} may be {', '.join(one.id for one in mine)}; name one of them")
    over = [one for one in found if one.key.pipeline == text]
    if over:
        newest = f"the newest is {over[-1].id} ({over[-1].state})"
        raise NotFound(f"no backfill of pipeline {text} goes on; name one by its id: {newest}")
    raise NotFound(f"there is no backfill {text}; `dbtorch backfills --all` lists them")


def pause_backfill(store: Store, text: str) -> Backfill:
    """Let no more of it start; runs that go on end. Raises `NotFound`, `NothingToDo`."""

    def paused(one: Backfill) -> tuple[list[Part], BackfillState]:
        if one.state is not BackfillState.ACTIVE:
            raise NothingToDo(f"backfill {one.id} is {one.state} already")
        return [], BackfillState.PAUSED

    return _change(store, text, paused)


def resume_backfill(store: Store, text: str) -> Backfill:
    """Go on with one that is paused, or was cancelled, or of which parts failed.

    Raises `NotFound`, `NothingToDo`.
    """

    def resumed(one: Backfill) -> tuple[list[Part], BackfillState]:
        others = [o.id for o in store.backfills() if o.key == one.key and o.id != one.id]
        if others:
            pipeline = one.key.pipeline
            raise NothingToDo(f"backfill {others[0]} of pipeline {pipeline} goes on already")
        if one.state is BackfillState.ACTIVE:
            return [], BackfillState.ACTIVE
        again = [
            replace(part, state=PartState.WAITING, token="", server="", claims=0, ended_at=None)
            for part in one.parts
            if part.state in (PartState.FAILED, PartState.CANCELLED)
        ]
        if one.state is BackfillState.DONE:
            raise NothingToDo(f"backfill {one.id} is done")
        return again, BackfillState.ACTIVE

    return _change(store, text, resumed)


def cancel_backfill(store: Store, text: str, *, reason: str = "") -> tuple[Backfill, list[str]]:
    """End it, and the runs of it that go on; answers these. Raises `NotFound`, `NothingToDo`."""

    def cancelled(one: Backfill) -> tuple[list[Part], BackfillState]:
        if one.state.over:
            raise NothingToDo(f"backfill {one.id} is over already: {one.state}")
        now = store.ledger().now
        parts = [
            replace(part, state=PartState.CANCELLED, ended_at=now)
            for part in one.parts
            if part.state in (PartState.WAITING, PartState.CLAIMED)
        ]
        return parts, BackfillState.CANCELLED

    one = _change(store, text, cancelled)
    return one, _end_runs(store, one, reason)


def _end_runs(store: Store, one: Backfill, reason: str) -> list[str]:
    from dbtorch.service.run.cancel import cancel

    runs = [part.run_id for part in one.parts if part.state is PartState.STARTED]
    for run_id in runs:
        why = "; ".join(filter(None, (f"backfill {one.id} was cancelled", reason)))
        try:
            cancel(store, run_id, reason=why, wait=False)
        except DbtorchError:  # it has just ended
            continue
    return runs


def _change(
    store: Store, text: str, change: Callable[[Backfill], tuple[list[Part], BackfillState]]
) -> Backfill:
    while True:
        one = one_backfill(store, text)
        parts, state = change(one)
        if store.decide_backfill(one, parts, state):
            return one_backfill(store, one.id)


def _progress(one: Backfill, now: datetime, driven: bool) -> Progress:
    left = sum(part.state.is_open for part in one.parts)
    took = [
        (part.ended_at - part.started_at).total_seconds()
        for part in one.parts
        if part.state is PartState.DONE and part.ended_at and part.started_at
    ]
    eta = None
    if took and left and not one.state.over:
        eta = sum(took) / len(took) * left / min(one.spec.max_active, left)
    return Progress(backfill=one, at=now, driven=driven, left=left, eta=eta)
