"""What a run's changes come to in messages. Told events, it answers what to keep in the outbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from dbtorch.core.alerts.alert import Alert, AlertEvent, Severity, to_json
from dbtorch.core.alerts.card import (
    LISTED,
    RETRIES_LISTED,
    RunCard,
    card_from_json,
    card_key,
    card_to_json,
)
from dbtorch.core.alerts.incidents import Incident, Verdict
from dbtorch.core.alerts.messages import AlertContext
from dbtorch.core.alerts.outbox import Delivery, Entry, EntryKind, Style
from dbtorch.core.alerts.routing import Destination, destinations, wanted
from dbtorch.core.alerts.text import when
from dbtorch.core.failures.message import tidy
from dbtorch.core.history.records import NodeRecord
from dbtorch.core.model.deadline import Late
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.freshness import BEYOND
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import RunState, State
from dbtorch.core.plan import SESSION_CLOSE

#: Answers a message that was written before; None when there is none.
Known = Callable[[Destination, str], Delivery | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChannel:
    """A notifier that is on."""

    style: Style
    address: str = ""  # of what no owner claims


class AlertComposer:
    """One run as people are told of it."""

    def __init__(
        self,
        scene: AlertContext,
        places: Mapping[str, AlertChannel],
        incidents: Iterable[Incident],
        known: Known,
        *,
        written: Iterable[Delivery] = (),
        states: Mapping[str, State] | None = None,
    ) -> None:
        """``written`` has the messages of an earlier execution of the run, ``states`` its nodes."""
        self._scene = scene
        self._places = places
        self._addresses = {name: place.address for name, place in places.items()}
        self._incidents = {incident.node_id: incident for incident in incidents}
        self._known = known
        self._states = dict.fromkeys(scene.plan.graph.nodes, State.PENDING) | dict(states or {})
        self._retrying: dict[str, str] = {}
        self._wants_retrying = wanted(AlertEvent.RETRYING, scene.spec, scene.pipeline, scene.target)
        self._state = RunState.RUNNING
        self._finished_at: datetime | None = None
        self._cards: dict[Destination, RunCard] = {}
        for delivery in written:
            entry = delivery.entry
            if entry.kind is EntryKind.CARD and entry.notifier in places:
                place = Destination(entry.notifier, entry.address)
                self._cards[place] = card_from_json(entry.body["card"])
        self._notes: list[Entry] = []
        self._changed: set[Destination] = set()  # cards that are to be told now
        self._old_cards: dict[tuple[Destination, str], RunCard] = {}
        self._touched: dict[str, Incident] = {}
        self.dirty = bool(self._cards)  # cards that may be told at leisure

    # ---------------------------------------------------------------- what happens

    def begin(self, at: datetime, earlier: Sequence[NodeRecord] = ()) -> None:
        """The run begins, or goes on: what failed before is told if nobody has told it yet."""
        alert = self._scene.of_run(AlertEvent.SUCCEEDED, at)
        for place in self._places_of(alert):
            if self._style(place) is Style.THREADS:
                self._card(place)  # whoever wants to know how it ends may watch it
        for node in earlier:
            if node.state is State.REMOVED:
                self._gone(node, at)
            elif node.state is State.FAILED and node.id in self._scene.plan.graph.nodes:
                self._failed(_again(node, at))
            elif node.state is State.WARN and self._scene.is_check(node.id):
                self._complains(_again(node, at))

    def _gone(self, node: NodeRecord, at: datetime) -> None:
        """A node is no longer part of the run: its failure is over, and said to be so once."""
        incident = self._incidents.pop(node.id, None)
        if incident is not None:
            self._touched[node.id] = incident.over(at)
        for place, card in list(self._cards.items()):
            found = tuple(one for one in card.failures if one.node_id != node.id)
            if len(found) < len(card.failures):
                note = f"{label(node)} is no longer part of the run"
                failed = card.failed - len(card.failures) + len(found)
                notes = tuple(dict.fromkeys((*card.notes, note)))
                self._set(place, replace(card, failures=found, failed=failed, notes=notes))

    def changed(self, changes: Iterable[Changed]) -> None:
        """Nodes changed."""
        for change in changes:
            self._states[change.node_id] = change.state
            if self._retrying.pop(change.node_id, None) is not None:
                self.dirty = True
            if change.state is State.UP_FOR_RETRY:
                self._tried_again(change)
            elif status := self._not_fresh(change):
                self._stale(change, status)
            elif change.state is State.FAILED:
                self._failed(change)
            elif change.state is State.WARN and self._scene.is_check(change.node_id):
                self._complains(change)
            elif change.state.ok and change.node_id in self._incidents:
                self._recovered(change)
            self.dirty = self.dirty or (change.state.final and bool(self._cards))

    def late(self, late: Late) -> None:
        """A deadline has passed and what it is about goes on, or that will be so."""
        if late.node_id and late.node_id not in self._scene.plan.graph.nodes:
            return  # found out by an earlier execution, and gone since
        alert = self._scene.late(late)
        what = f"{self._scene.label(late.node_id)} " if late.node_id else ""
        foreseen = f"{what}will probably miss its deadline, {when(late.deadline)}"
        text = f"{what}missed its deadline, {when(late.deadline)}" if late.missed else foreseen
        for place in self._places_of(alert):
            if self._style(place) is Style.THREADS:
                card = self._card(place)
                risks = tuple(one for one in card.at_risk if one != foreseen)
                if late.missed:
                    notes = tuple(dict.fromkeys((*card.notes, text)))
                    self._set(place, replace(card, notes=notes, at_risk=risks))
                else:
                    self._set(place, replace(card, at_risk=(*risks, text)))
                self._note(place, alert, thread=card.key)
            else:
                self._note(place, alert)

    def ended(self, state: RunState, at: datetime) -> None:
        """The run is over."""
        self._state, self._finished_at = state, at
        self._retrying.clear()
        self._changed |= self._cards.keys()
        alert = self._end(state, at)
        waits = [f"{what}: {nodes}" for what, nodes in alert.facts] if alert is not None else []
        for place, card in self._cards.items():
            notes = tuple(dict.fromkeys((*card.notes, *waits)))
            self._cards[place] = replace(card, notes=notes, at_risk=())  # by now it is known
        if alert is None:
            return
        for place in self._places_of(alert):
            if self._style(place) is Style.THREADS:
                self._card(place)
            else:
                self._note(place, alert, loud=False)

    def _end(self, state: RunState, at: datetime) -> Alert | None:
        """What is told of the end of a run besides its failures."""
        if state is RunState.SUCCESS:
            return self._scene.of_run(AlertEvent.SUCCEEDED, at)
        return self._scene.gated(at, self._states) if state is RunState.GATED else None

    def take(self, *, all_cards: bool = False) -> tuple[list[Entry], list[Incident]]:
        """What is to be kept since the last time, cards before what is in their threads."""
        if all_cards and self.dirty:
            self._changed |= self._cards.keys()
        if self._changed:
            self.dirty = False
        cards = [self._card_entry(place, self._now(place)) for place in _sorted(self._changed)]
        cards += [self._card_entry(place, card) for (place, _), card in self._old_cards.items()]
        entries = [*cards, *self._notes]
        incidents = list(self._touched.values())
        self._notes, self._changed, self._old_cards, self._touched = [], set(), {}, {}
        return entries, incidents

    # ---------------------------------------------------------------- single events

    def _tried_again(self, change: Changed) -> None:
        alert = self._scene.retrying(change)
        attempt = f"attempt {change.attempt + 1} of {max(alert.attempts, change.attempt + 1)}"
        at = f" at {when(change.retry_at, seconds=True)}" if change.retry_at is not None else ""
        self._retrying[change.node_id] = f"{alert.name} is tried again{at}, {attempt}"
        self.dirty = True
        if not self._wants_retrying:
            return
        for place in self._places_of(alert):
            if self._style(place) is Style.THREADS:
                self._note(place, alert, thread=self._card(place).key, loud=False)
            else:
                self._note(place, alert, loud=False)

    def _failed(self, change: Changed) -> None:
        if change.node_id == SESSION_CLOSE and self._a_hook_failed():
            return  # the hook that failed says it better
        alert = self._scene.failed(change)
        incident, verdict = self._incident(alert)
        self._incidents[change.node_id] = self._touched[change.node_id] = incident
        event = AlertEvent.REMINDER if verdict is Verdict.REMINDER else alert.event
        alert = replace(alert, event=event, in_a_row=incident.in_a_row, since=incident.opened_at)
        for place in self._places_of(alert):
            self._tell_of_failure(place, alert, incident, verdict)

    def _complains(self, change: Changed) -> None:
        """A check complains and blocks nothing; in the next runs that is told quietly."""
        alert = self._scene.complains(change)
        incident, verdict = self._incident(alert)
        self._incidents[change.node_id] = self._touched[change.node_id] = incident
        alert = replace(alert, in_a_row=incident.in_a_row, since=incident.opened_at)
        quiet, thread = verdict is Verdict.AGAIN, card_key(incident.opened_run)
        for place in self._places_of(alert):
            style = self._style(place)
            if style is Style.THREADS and quiet and self._known(place, thread) is not None:
                self._note(place, alert, thread=thread, loud=False)
            elif style is Style.THREADS:
                card = self._card(place)
                told = dict.fromkeys((*card.notes, f"{alert.name} does not pass"))
                self._set(place, replace(card, notes=tuple(told)))
                self._note(place, alert, thread=card.key)
            elif style is Style.STREAM or not quiet:
                self._note(place, alert, loud=not quiet)

    def _tell_of_failure(
        self, place: Destination, alert: Alert, incident: Incident, verdict: Verdict
    ) -> None:
        style, mine = self._style(place), incident.opened_run == self._scene.run_id
        if style is Style.STREAM:
            self._note(place, alert, loud=verdict is not Verdict.AGAIN)
            return
        thread = card_key(incident.opened_run)
        told = place in self._cards if mine else self._known(place, thread) is not None
        if verdict is Verdict.FIRST or not told:
            card = self._card(place).failing(alert)
            self._set(place, card)
            if style is Style.THREADS and card.failed <= LISTED:
                self._note(place, alert, thread=card.key, follows=True)
            return
        if place in self._cards:
            self._set(place, self._cards[place].failing(alert))
        if verdict is Verdict.REMINDER:
            self._note(place, alert, thread=thread, broadcast=True)
        elif style is Style.THREADS:
            self._note(place, alert, thread=thread, loud=False)

    def _recovered(self, change: Changed) -> None:
        incident = self._incidents.pop(change.node_id)
        self._touched[change.node_id] = incident.over(change.at)
        alert = self._scene.recovered(change, incident)
        thread = card_key(incident.opened_run)
        for place in self._places_of(alert):
            if self._style(place) is Style.STREAM:
                self._note(place, alert, loud=False)
                continue
            card = self._card_of(place, incident.opened_run)
            if card is None:
                if self._known(place, f"{incident.opened_run}/{AlertEvent.STALE}/{change.node_id}"):
                    self._note(place, alert, loud=False)
                continue  # nobody there has heard of the failure
            card = card.well_again(alert.name, self._scene.run_id)
            if incident.opened_run == self._scene.run_id:
                self._set(place, card)
            else:
                self._old_cards[place, thread] = card
                if place in self._cards:
                    self._set(place, self._cards[place])
            self._note(place, alert, thread=thread, loud=False)

    def _not_fresh(self, change: Changed) -> str:
        """What dbt calls a source whose gate has closed, or would have; empty for all else."""
        node = self._scene.plan.graph.nodes.get(change.node_id)
        if node is None or node.kind is not Kind.SOURCE or not change.state.final:
            return ""
        found = (change.outcome.details.get("source") if change.outcome is not None else None) or {}
        status = str(found.get("status") or "")
        return "" if status == "pass" or change.state is State.CANCELLED else status

    def _stale(self, change: Changed, status: str) -> None:
        """A source is stale: told once, until it is fresh again or long after."""
        said = change.outcome.message if change.outcome is not None else str(change.reason)
        why = tidy(self._scene.scrub(said))[0]
        alert = self._scene.stale(
            change.node_id,
            change.at,
            tidy(self._scene.scrub(_beyond(change)))[0] or why,  # the headline has the rest
            severity=Severity.WARNING if status == "warn" else Severity.ERROR,
        )
        told: tuple[Destination, ...] = ()
        if change.state is State.FAILED:
            self._failed(change)
            told = self._places_of(self._scene.failed(change))
        else:
            incident, _ = self._incident(alert)
            self._incidents[change.node_id] = self._touched[change.node_id] = incident
        if self._incidents[change.node_id].told_at != change.at:
            return
        for place in self._places_of(alert):
            if place in told:
                continue
            if self._style(place) is Style.THREADS:
                card = self._card(place)
                notes = dict.fromkeys((*card.notes, why))
                self._set(place, replace(card, notes=tuple(notes)))
                self._note(place, alert, thread=card.key)
            else:
                self._note(place, alert)

    def _incident(self, alert: Alert) -> tuple[Incident, Verdict]:
        scene, found = self._scene, self._incidents.get(alert.node_id)
        if found is not None:
            return found.again(
                run_id=scene.run_id,
                failure_class=alert.failure_class,
                now=alert.at,
                remind_after=scene.spec.remind_after,
            )
        opened = Incident(
            project=scene.project,
            target=scene.target,
            pipeline=scene.pipeline,
            node_id=alert.node_id,
            failure_class=alert.failure_class,
            opened_run=scene.run_id,
            opened_at=alert.at,
            last_run=scene.run_id,
            told_at=alert.at,
        )
        return opened, Verdict.FIRST

    def _a_hook_failed(self) -> bool:
        nodes = self._scene.plan.graph.nodes
        return any(
            state is State.FAILED and id in nodes and nodes[id].kind is Kind.OPERATION
            for id, state in self._states.items()
        )

    # ---------------------------------------------------------------- cards and notes

    def _places_of(self, alert: Alert) -> tuple[Destination, ...]:
        found = destinations(alert, self._scene.spec, self._addresses)
        return tuple(place for place in found if place.notifier in self._places)

    def _style(self, place: Destination) -> Style:
        return self._places[place.notifier].style

    def _card(self, place: Destination) -> RunCard:
        """The card of this run, which from now on there is."""
        if place not in self._cards:
            self._set(place, self._scene.card())
        return self._cards[place]

    def _set(self, place: Destination, card: RunCard) -> None:
        self._cards[place] = card
        self._changed.add(place)

    def _card_of(self, place: Destination, run_id: str) -> RunCard | None:
        if run_id == self._scene.run_id:
            return self._cards.get(place)
        if (place, card_key(run_id)) in self._old_cards:
            return self._old_cards[place, card_key(run_id)]
        found = self._known(place, card_key(run_id))
        return None if found is None else card_from_json(found.entry.body["card"])

    def _now(self, place: Destination) -> RunCard:
        """A card with what is known of the run at this moment."""
        nodes = self._scene.plan.graph.nodes
        counts: dict[str, int] = {}
        for id, state in self._states.items():
            if id not in nodes or nodes[id].kind is not Kind.SESSION:
                counts[state.value] = counts.get(state.value, 0) + 1
        return replace(
            self._cards[place],
            state=self._state,
            finished_at=self._finished_at,
            counts=counts,
            retrying=tuple(self._retrying.values())[:RETRIES_LISTED],
        )

    def _card_entry(self, place: Destination, card: RunCard) -> Entry:
        return Entry(
            key=card.key,
            notifier=place.notifier,
            address=place.address,
            kind=EntryKind.CARD,
            run_id=card.run_id,
            body={"card": card_to_json(card)},
        )

    def _note(
        self, place: Destination, alert: Alert, *, thread: str = "", loud: bool = True, **more: Any
    ) -> None:
        self._notes.append(
            Entry(
                key=alert.key,
                notifier=place.notifier,
                address=place.address,
                kind=EntryKind.NOTE,
                run_id=alert.run_id,
                thread=thread,
                body={"alert": to_json(alert), "loud": loud, **more},
            )
        )


def _sorted(places: Iterable[Destination]) -> list[Destination]:
    """Destinations in an order that is always the same."""
    return sorted(places, key=str)


def _beyond(change: Changed) -> str:
    """By how much a source is beyond its threshold; empty where nobody says."""
    return str(change.outcome.details.get(BEYOND) or "") if change.outcome is not None else ""


def _again(node: NodeRecord, now: datetime) -> Changed:
    """The change that made a node what the history says it is."""
    last = node.attempts[-1] if node.attempts else None
    outcome = None
    if last is not None:
        outcome = Outcome(
            state=State.FAILED,
            message=last.message,
            failure_class=last.failure_class,
        )
    return Changed(
        node_id=node.id,
        attempt=last.number if last is not None else 0,
        before=State.RUNNING,
        state=State.FAILED,
        at=node.updated_at or now,
        reason=node.reason,
        outcome=outcome,
    )
