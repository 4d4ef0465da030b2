"""Who is told what: owners, destinations and rules."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dbtorch.core.alerts.alert import Alert, AlertEvent, Severity
from dbtorch.core.alerts.incidents import REMIND_AFTER
from dbtorch.core.keys import Limit, key

#: Word of a rule for "wherever the owner is".
OWNER = "owner"

#: Told where no rule says anything else.
USUAL = frozenset(AlertEvent) - {AlertEvent.RETRYING, AlertEvent.SUCCEEDED, AlertEvent.GATED}

#: What the name of a target begins with that is nobody's production.
_FOR_TRYING = frozenset(
    {"dev", "develop", "development", "local", "localhost", "laptop", "sandbox", "scratch"}
    | {"test", "tests", "testing", "unittest", "ci", "pr", "pull", "mr", "feature", "tmp", "temp"}
)

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
    mention: tuple[str, ...] = field(
        default=(),
        metadata=key(
            "Who is mentioned in Slack: ids of people or groups, or mail addresses.",
            default="those in the owner's name",
            example="[U02ABCDEF, ana@example.com]",
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """Which alerts go where; empty is all of a kind."""

    events: frozenset[AlertEvent] = field(
        default=USUAL,
        metadata=key(
            "What happened.",
            default="all but `retrying`, `succeeded` and `gated`",
            example="[failed, recovered, reminder]",
        ),
    )
    severities: frozenset[Severity] = field(
        default=frozenset(), metadata=key("How bad.", default="all", example="error")
    )
    pipelines: frozenset[str] = field(
        default=frozenset(), metadata=key("In which pipelines.", default="all", example="[daily]")
    )
    owners: frozenset[str] = field(
        default=frozenset(), metadata=key("Whose nodes.", default="all", example="[finance]")
    )
    targets: frozenset[str] = field(
        default=frozenset(),
        metadata=key(
            "On which targets of the profile; `*` is any text.",
            default="those of `alerts`",
            example="[prod, staging]",
        ),
    )
    to: tuple[str, ...] = field(
        default=(OWNER,),
        metadata=key(
            "`owner`, `#channel`, a mail address, or a notifier with or without an address:"
            " `webhook`, `slack:U02ABCDEF`.",
            default=OWNER,
            example='[owner, "#incidents"]',
        ),
    )

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
    targets: frozenset[str] = field(
        default=frozenset(),
        metadata=key(
            "Targets of the profile that alerts are sent for; `*` is any text.",
            default="all but those for trying: `dev…`, `local…`, `test…`, `ci…`, `pr…`",
            example="[prod]",
        ),
    )
    owners: Mapping[str, OwnerRoute] = field(
        default_factory=dict,
        metadata=key(
            "Where owners are reached; text is their place in Slack.",
            default="by what their names say",
            example='{finance: "#finance-data"}',
        ),
    )
    folders: Mapping[str, str] = field(
        default_factory=dict,
        metadata=key(
            "Who owns what has no owner of its own, by folder; the innermost counts.",
            default="nobody",
            example="{models/marts/finance: finance}",
        ),
    )
    rules: tuple[AlertRule, ...] = field(
        default=(AlertRule(),),
        metadata=key(
            "Which alerts go where; all rules that fit count, and no channel gets it twice.",
            default="one rule with the defaults below",
            example="[{events: [failed, recovered]}]",
        ),
    )
    remind_after: Limit = field(
        default=REMIND_AFTER,
        metadata=key(
            "A failure that goes on is sent again, with mentions, after this.", example="4h"
        ),
    )
    runbook_base: str = field(
        default="",
        metadata=key(
            "What makes a URL of a runbook's path.",
            default="paths stay text",
            example="https://git.example.com/shop/blob/main/",
        ),
    )

    def heard(self, target: str) -> tuple[AlertRule, ...]:
        """Rules that are about a target; of one that is nobody's production those that name it."""
        if self.targets and not _matches(target, self.targets):
            return ()
        told = bool(self.targets) or not is_for_trying(target)
        return tuple(
            rule
            for rule in self.rules
            if (_matches(target, rule.targets) if rule.targets else told)
        )

    def silence(self, target: str) -> str:
        """Why nobody is told of a target, and what to do about it; empty where somebody is."""
        if self.heard(target):
            return ""
        if not self.targets and is_for_trying(target):
            return (
                f"alerts are off on target {target}, whose name says that it is not production;"
                f" write `targets: [{target}]` under `alerts` in dbtorch.yml to get its alerts, or"
                " `targets: [prod]` to say which ones count"
            )
        return f"alerts are off on target {target}, which `alerts` in dbtorch.yml does not name"

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
    alert: Alert, spec: AlertsSpec, defaults: Mapping[str, str], *, everywhere: bool = False
) -> tuple[Destination, ...]:
    """Where an alert goes, each place once; ``everywhere`` whatever its target.

    ``defaults`` has the notifiers that are on, each with the address of what no owner claims.
    """
    found: dict[Destination, None] = {}
    for rule in spec.rules if everywhere else spec.heard(alert.target):
        if rule.fits(alert):
            for place in rule.to:
                found |= dict.fromkeys(_places(place, alert, spec, defaults))
    return tuple(found)


def wanted(event: AlertEvent, spec: AlertsSpec, pipeline: str, target: str) -> bool:
    """Whether anybody may want to be told of such an event in this pipeline, on this target."""
    return any(
        event in rule.events and (not rule.pipelines or pipeline in rule.pipelines)
        for rule in spec.heard(target)
    )


def is_for_trying(target: str) -> bool:
    """Whether a target's name says that it is nobody's production: `dev`, `dev_ana`, `pr-12`."""
    first = re.split(r"[^a-z]", target.lower(), maxsplit=1)[0]
    return first in _FOR_TRYING


def _matches(target: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(target, pattern) for pattern in patterns)


def _heard_as(alert: Alert) -> set[AlertEvent]:
    """Events of which a rule speaks; a check that blocks has failed, and made the run fail.

    Who wants to know that a run succeeded is told of one that was gated, too: as that.
    """
    if alert.event is AlertEvent.GATED:
        return {AlertEvent.GATED, AlertEvent.SUCCEEDED}
    blocks = alert.event is AlertEvent.CHECK and alert.severity is Severity.ERROR
    return {alert.event, AlertEvent.FAILED} if blocks else {alert.event}


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
