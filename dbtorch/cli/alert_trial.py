"""`dbtorch alerts test`: an example of every alert, to where it would go."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from dbtorch.adapters.notify.catalog import find
from dbtorch.cli.errors import NODE_FAILED, OK, UsageError
from dbtorch.cli.notifying import Notifiers, build_notifiers
from dbtorch.cli.project import Project
from dbtorch.cli.run_options import DEFAULT_PIPELINE, Options, pipeline_of
from dbtorch.core.alert_examples import example_card, examples
from dbtorch.core.alerts import Alert, to_json
from dbtorch.core.outbox import Delivery, Entry, EntryKind, Style
from dbtorch.core.routing import AlertsSpec, Destination, destinations
from dbtorch.core.run_card import RunCard, card_to_json
from dbtorch.ports import Clock, NotDelivered

Echo = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One message: what it is an example of, and the message."""

    what: str
    place: Destination
    delivery: Delivery


def try_out(
    project: Project, pipeline: str | None, clock: Clock, *, dry_run: bool, echo: Echo
) -> int:
    """Send, or print. Answers 1 when something could not be sent. Raises `UsageError`."""
    spec = project.config.alerts
    if spec is None or not spec.notifiers:
        raise UsageError(
            "alerts are not configured; write `alerts: {slack: {token: …, channel: …}}`,"
            " `webhook` or `email` into dbtorch.yml"
        )
    notifiers = build_notifiers(spec)
    for name, why in notifiers.off.items():
        echo(f"{name}: off, {why}")
    trials = list(_trials(project, pipeline, spec, notifiers, clock))
    if dry_run:
        _print(trials, echo)
        return NODE_FAILED if notifiers.off else OK
    return max(_send(trials, notifiers, echo), NODE_FAILED if notifiers.off else OK)


def _trials(
    project: Project, pipeline: str | None, spec: AlertsSpec, notifiers: Notifiers, clock: Clock
) -> Iterable[_Trial]:
    """The messages, a card before what is in its thread."""
    config, now = project.config, clock.now()
    name = pipeline or next(iter(config.pipelines), DEFAULT_PIPELINE)
    usual = pipeline_of(config, Options(pipeline=name)).owner or config.defaults.owner or ""
    addresses = {name: place.address for name, place in notifiers.places.items()}
    begun: set[Destination] = set()
    said: set[tuple[Destination, str]] = set()
    for owner in dict.fromkeys([usual, *spec.owners]):
        about = {"project": project.name, "pipeline": name, "owner": owner}
        card = example_card(spec, now=now, **about)
        for alert in examples(spec, now=now, **about):
            if owner != usual and alert.event.value != "failed":
                continue  # of every other owner only where their failures go
            for place in destinations(alert, spec, addresses):
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
) -> _Trial:
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
    return _Trial(
        what=what, place=place, delivery=Delivery(entry=entry, created_at=now, updated_at=now)
    )


def _print(trials: Iterable[_Trial], echo: Echo) -> None:
    for trial in trials:
        echo(f"{trial.what} -> {trial.place}")
        text = find(trial.place.notifier).preview(trial.delivery)
        echo(textwrap.indent(text.rstrip(), "    ") + "\n")


def _send(trials: Iterable[_Trial], notifiers: Notifiers, echo: Echo) -> int:
    code = OK
    cards: dict[Destination, Delivery] = {}
    for trial in trials:
        notifier = notifiers.on[trial.place.notifier]
        try:
            receipt = notifier.deliver(trial.delivery, cards.get(trial.place))
        except NotDelivered as error:
            echo(f"{trial.what} -> {trial.place}: not sent, {error}")
            code = NODE_FAILED
            continue
        if trial.delivery.entry.kind is EntryKind.CARD:
            cards[trial.place] = replace(trial.delivery, receipt=receipt, sent_version=1)
        echo(f"{trial.what} -> {trial.place}: sent")
    return code
