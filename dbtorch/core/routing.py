"""Who is told what: owners, destinations and rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbtorch.core.alerts import Alert, AlertEvent, Severity
from dbtorch.core.incidents import REMIND_AFTER

#: Word of a rule for "wherever the owner is".
OWNER = "owner"

#: Told where no rule says anything else.
USUAL = frozenset(AlertEvent) - {AlertEvent.RETRYING, AlertEvent.SUCCEEDED}

_EMAIL = re.compile(r"[^\s@,;<>|]+@[^\s@,;<>|]+\.[^\s@,;<>|]+")
_SLACK_PERSON = re.compile(r"(?=[A-Z]*[0-9])[UWS][A-Z0-9]{6,}")  # a user, a user of a grid, a group
_SLACK_CHANNEL = re.compile(r"#\S+|(?=[A-Z]*[0-9])[CGD][A-Z0-9]{6,}")


@dataclass(frozen=True, slots=True)
class Destination:
    """A place of a notifier."""

    notifier: str
    address: str = ""  # empty where the notifier has only one place

    def __str__(self) -> str:
        return f"{self.notifier}:{self.address}" if self.address else self.notifier


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRoute:
    """Where an owner is reached."""

    addresses: Mapping[str, str] = field(default_factory=dict)  # notifier -> address
    mention: tuple[str, ...] = ()  # Slack ids or mail addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """Which alerts go where; empty is all of a kind."""

    events: frozenset[AlertEvent] = USUAL
    severities: frozenset[Severity] = frozenset()
    pipelines: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    to: tuple[str, ...] = (OWNER,)  # "owner", "#channel", "mail@example.com", "slack:U0123", …

    def fits(self, alert: Alert) -> bool:
        """Whether it speaks of this alert."""
        return (
            not self.events.isdisjoint(_heard_as(alert))
            and (not self.severities or alert.severity in self.severities)
            and (not self.pipelines or alert.pipeline in self.pipelines)
            and (not self.owners or alert.owner in self.owners)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsSpec:
    """What ``alerts`` of ``dbtorch.yml`` says."""

    notifiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # name -> its keys
    owners: Mapping[str, OwnerRoute] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)  # folder -> owner
    rules: tuple[AlertRule, ...] = (AlertRule(),)
    remind_after: float = REMIND_AFTER
    runbook_base: str = ""  # what makes a URL of a runbook's path

    def route(self, owner: str) -> OwnerRoute:
        """Where an owner is reached, as written or by what the name itself says."""
        found = next((r for name, r in self.owners.items() if _same(name, owner)), OwnerRoute())
        mention = found.mention or tuple(people(owner))
        channel = _SLACK_CHANNEL.fullmatch(owner.strip())
        own = {"slack": owner.strip()} if channel else {}
        addresses = _EMAIL.findall(owner)
        if addresses:
            own["email"] = ", ".join(addresses)
        return OwnerRoute(addresses={**own, **found.addresses}, mention=mention)

    def runbook(self, written: str) -> str:
        """A runbook as it can be opened."""
        if not written or "://" in written or not self.runbook_base:
            return written
        return f"{self.runbook_base.rstrip('/')}/{written.lstrip('/')}"


def destinations(
    alert: Alert, spec: AlertsSpec, defaults: Mapping[str, str]
) -> tuple[Destination, ...]:
    """Where an alert goes, each place once.

    ``defaults`` has the notifiers that are on, each with the address of what no owner claims.
    """
    found: dict[Destination, None] = {}
    for rule in spec.rules:
        if rule.fits(alert):
            for place in rule.to:
                found |= dict.fromkeys(_places(place, alert, spec, defaults))
    return tuple(found)


def wanted(event: AlertEvent, spec: AlertsSpec, pipeline: str) -> bool:
    """Whether anybody may want to be told of such an event in this pipeline."""
    return any(
        event in rule.events and (not rule.pipelines or pipeline in rule.pipelines)
        for rule in spec.rules
    )


def _heard_as(alert: Alert) -> set[AlertEvent]:
    """Events of which a rule speaks; a check that blocks has failed, and made the run fail."""
    blocks = alert.event is AlertEvent.CHECK and alert.severity is Severity.ERROR
    return {alert.event, AlertEvent.FAILED} if blocks else {alert.event}


def owner_by_folder(path: str, folders: Mapping[str, str]) -> str:
    """The owner of the innermost folder that a file is in."""
    inside = [
        folder for folder in folders if f"{path}/".startswith(f"{folder.strip('/')}/") and path
    ]
    return folders[max(inside, key=len)] if inside else ""


def people(text: str) -> Iterator[str]:
    """Slack ids and mail addresses in the name of an owner."""
    for word in re.split(r"[\s,;<>]+", text):
        if _EMAIL.fullmatch(word) or _SLACK_PERSON.fullmatch(word):
            yield word


def parse(place: str) -> Destination:
    """``#channel``, ``mail@example.com``, ``slack:U0123`` or the name of a notifier."""
    if place.startswith("#"):
        return Destination("slack", place)
    notifier, colon, address = place.partition(":")
    if colon:
        return Destination(notifier, address)
    return Destination("email", place) if "@" in place else Destination(place)


def _places(
    place: str, alert: Alert, spec: AlertsSpec, defaults: Mapping[str, str]
) -> Iterable[Destination]:
    if place != OWNER:
        said = parse(place)
        if said.notifier in defaults:
            yield Destination(said.notifier, said.address or defaults[said.notifier])
        return
    addresses = spec.route(alert.owner).addresses
    for notifier, usual in defaults.items():
        address = addresses.get(notifier, usual)
        if address or notifier not in NEEDS_ADDRESS:
            yield Destination(notifier, address)


#: Notifiers that reach nobody without an address.
NEEDS_ADDRESS = frozenset({"slack", "email"})


def _same(name: str, owner: str) -> bool:
    return name.strip().casefold() == owner.strip().casefold()
