"""An example of every alert, to where it would go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.notify.catalog import NOTIFIERS
from dbtorch.core.alerts.alert import Alert, to_json
from dbtorch.core.alerts.card import RunCard, card_to_json
from dbtorch.core.alerts.examples import example_card, examples
from dbtorch.core.alerts.outbox import Delivery, Entry, EntryKind, Style
from dbtorch.core.alerts.routing import AlertsSpec, Destination, destinations
from dbtorch.core.errors import UsageError
from dbtorch.ports.loop import Clock
from dbtorch.ports.notifier import NotDelivered
from dbtorch.service.alerts.notifiers import Notifiers, build_notifiers
from dbtorch.service.project.options import DEFAULT_PIPELINE, RunOptions, pipeline_of
from dbtorch.service.project.project import Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One message: what it is an example of, where it would go, and the message."""

    what: str
    place: Destination
    delivery: Delivery

    @property
    def preview(self) -> str:
        """The message as text."""
        return NOTIFIERS.find(self.place.notifier).preview(self.delivery).rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """An example of every alert, for every place it may go to."""

    messages: tuple[Trial, ...]
    notifiers: Notifiers

    @property
    def off(self) -> Mapping[str, str]:
        """Notifiers that cannot be used, and why."""
        return self.notifiers.off

    def send(self) -> Iterator[tuple[Trial, str]]:
        """Send them one by one; with each comes why it was not sent, or nothing."""
        cards: dict[Destination, Delivery] = {}
        for trial in self.messages:
            notifier = self.notifiers.on[trial.place.notifier]
            try:
                receipt = notifier.deliver(trial.delivery, cards.get(trial.place))
            except NotDelivered as error:
                yield trial, self.notifiers.hide(str(error))
                continue
            if trial.delivery.entry.kind is EntryKind.CARD:
                cards[trial.place] = replace(trial.delivery, receipt=receipt, sent_version=1)
            yield trial, ""


def trials_of(
    project: Project, pipeline: str | None = None, *, clock: Clock | None = None
) -> Trials:
    """Examples about a pipeline, the first one by default; nothing is sent.

    Raises `UsageError` where no alerts are configured.
    """
    spec = project.config.alerts
    if spec is None or not spec.notifiers:
        raise UsageError(
            "alerts are not configured; write `alerts: {slack: {token: …, channel: …}}`,"
            " `webhook` or `email` into dbtorch.yml"
        )
    notifiers = build_notifiers(spec)
    found = _trials(project, pipeline, spec, notifiers, clock or SystemClock())
    return Trials(messages=tuple(found), notifiers=notifiers)


def _trials(
    project: Project, pipeline: str | None, spec: AlertsSpec, notifiers: Notifiers, clock: Clock
) -> Iterator[Trial]:
    """The messages, a card before what is in its thread."""
    config, now = project.config, clock.now()
    name = pipeline or next(iter(config.pipelines), DEFAULT_PIPELINE)
    usual = pipeline_of(config, RunOptions(pipeline=name)).owner or config.defaults.owner or ""
    addresses = {name: place.address for name, place in notifiers.places.items()}
    begun: set[Destination] = set()
    said: set[tuple[Destination, str]] = set()
    for owner in dict.fromkeys([usual, *spec.owners]):
        about = {"project": project.name, "pipeline": name, "owner": owner}
        card = example_card(spec, now=now, **about)
        for alert in examples(spec, now=now, **about):
            if owner != usual and alert.event.value != "failed":
                continue  # of every other owner only where their failures go
            for place in destinations(alert, spec, addresses, everywhere=True):
                if (place, alert.event.value) in said:
                    continue
                said.add((place, alert.event.value))
                threads = notifiers.places[place.notifier].style is Style.THREADS
                if threads and place not in begun:
                    begun.add(place)
                    yield _trial("a run", place, card, clock)
                yield _trial(alert.event.value, place, alert, clock, card if threads else None)


def _trial(
    what: str, place: Destination, said: Alert | RunCard, clock: Clock, card: RunCard | None = None
) -> Trial:
    body: dict[str, Any]
    if isinstance(said, RunCard):
        kind, body = EntryKind.CARD, {"card": card_to_json(said)}
    else:
        kind, body = EntryKind.NOTE, {"alert": to_json(said), "loud": True}
    entry = Entry(
        key=said.key,
        notifier=place.notifier,
        address=place.address,
        kind=kind,
        run_id=said.run_id,
        thread=card.key if card is not None else "",
        body=body,
    )
    now = clock.now()
    return Trial(
        what=what, place=place, delivery=Delivery(entry=entry, created_at=now, updated_at=now)
    )
