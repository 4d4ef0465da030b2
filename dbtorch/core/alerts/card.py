"""What the one message about a run says while it goes on, and when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from dbtorch.core.alerts.alert import Alert, from_json, moment, plain, to_json
from dbtorch.core.model.state import RunState

#: Failures that are listed one by one, and retries.
LISTED = 20
RETRIES_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """One run as one destination is told of it."""

    project: str
    target: str
    pipeline: str
    run_id: str
    logical_date: datetime
    started_at: datetime
    partial: bool = False  # the run is of a part of its pipeline
    state: RunState = RunState.RUNNING
    finished_at: datetime | None = None
    seconds_paused: float = 0.0  # between its executions
    counts: Mapping[str, int] = field(default_factory=dict)  # nodes per state
    failures: tuple[Alert, ...] = ()  # those this destination is told of, the first of them
    failed: int = 0  # how many there are
    retrying: tuple[str, ...] = ()  # "stg_rates, attempt 2 of 3"
    recovered: tuple[tuple[str, str], ...] = ()  # what works again: its name, and in which run
    notes: tuple[str, ...] = ()  # the deadline was missed, and the like
    at_risk: tuple[str, ...] = ()  # deadlines that will probably be missed, until that is known
    command: str = ""  # how to go on
    link: str = ""  # to the run in a browser
    test: bool = False  # there is no such run: somebody tries out where alerts go

    @property
    def seconds(self) -> float | None:
        """How long its executions took; None before its end."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds() - self.seconds_paused

    @property
    def key(self) -> str:
        """Names the message."""
        return card_key(self.run_id)

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self.state is not RunState.RUNNING

    @property
    def open(self) -> tuple[Alert, ...]:
        """Failures nothing has been heard of since."""
        return tuple(failure for failure in self.failures if failure.name not in self._well)

    @property
    def _well(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.recovered)

    @property
    def works_again(self) -> tuple[str, ...]:
        """What works again, for people: "fct_orders", "fct_orders in run 20260301T…"."""
        return tuple(
            name if run_id in ("", self.run_id) else f"{name} in run {run_id}"
            for name, run_id in self.recovered
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What else there is to say."""
        return (*self.notes, *self.at_risk)

    def failing(self, alert: Alert) -> RunCard:
        """With one more failure; a node that fails again takes the place of what it was."""
        others = tuple(one for one in self.failures if one.node_id != alert.node_id)
        new = len(others) == len(self.failures)
        return replace(
            self,
            failures=(*others, alert)[:LISTED],
            failed=self.failed + new,
            recovered=tuple(one for one in self.recovered if one[0] != alert.name),
        )

    def well_again(self, name: str, run_id: str) -> RunCard:
        """With a node that had failed and works again, in this run or in another one."""
        return replace(self, recovered=tuple(dict.fromkeys((*self.recovered, (name, run_id)))))


def card_key(run_id: str) -> str:
    """Names the one message about a run."""
    return f"run/{run_id}"


def card_to_json(card: RunCard) -> dict[str, Any]:
    """What the outbox keeps of it."""
    said = {one.name: plain(getattr(card, one.name)) for one in fields(card)}
    said["failures"] = [to_json(alert) for alert in card.failures]
    said["counts"] = dict(card.counts)
    return said


def _recovered(kept: Any) -> tuple[str, str]:
    """What works again; an older dbtorch kept a sentence."""
    name, _, run_id = (
        kept.partition(" in run ") if isinstance(kept, str) else (kept[0], "", kept[1])
    )
    return name, run_id


def card_from_json(kept: Mapping[str, Any]) -> RunCard:
    """The card that was kept."""
    known = {one.name for one in fields(RunCard)}
    said = {name: value for name, value in kept.items() if name in known}
    for name in ("logical_date", "started_at", "finished_at"):
        said[name] = moment(said.get(name))
    said["state"] = RunState(said["state"])
    said["failures"] = tuple(from_json(alert) for alert in said.get("failures", ()))
    for name in ("retrying", "notes", "at_risk"):
        said[name] = tuple(said.get(name, ()))
    said["recovered"] = tuple(_recovered(one) for one in said.get("recovered", ()))
    return RunCard(**said)
