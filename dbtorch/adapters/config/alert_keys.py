"""Keys of ``alerts``, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dbtorch.adapters.config.field_types import (
    Key,
    Listed,
    Named,
    Section,
    Several,
    keys_of,
    section,
)
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.scalars import SCALARS, TEXT, Kind, checked_later, one_of, whole
from dbtorch.core.alerts.routing import OWNER, AlertRule, AlertsSpec, OwnerRoute, parse

_TIMEOUT = Key(
    "timeout",
    SCALARS["limit"],
    "Longest time that one request may take.",
    default="10s",
    example="5s",
)
_MAIL_TIMEOUT = Key(
    "timeout",
    SCALARS["limit"],
    "Longest time that sending one mail may take.",
    default="30s",
    example="1m",
)


def _needs(*ways: tuple[str, ...]) -> dict[str, Any]:
    """The check that one of these sets of keys was written, and its shape."""

    def check(written: Mapping[str, Any], at: Path, report: Report) -> None:
        if not any(all(key in written for key in way) for way in ways):
            report.wrong(at, f"needs {' or '.join(' and '.join(way) for way in ways)}")

    return {"check": check, "shape": {"anyOf": [{"required": [*way]} for way in ways]}}


SLACK = Section(
    title="alerts.slack",
    **_needs(("token", "channel"), ("webhook_url",)),
    keys=(
        Key(
            "token",
            TEXT,
            "A bot's token. May use `env_var`, like all that is secret here.",
            example="\"{{ env_var('SLACK_BOT_TOKEN') }}\"",
        ),
        Key(
            "channel",
            TEXT,
            "Channel, by name or id, or person, by id or mail address, for what no owner claims.",
            example='"#data-alerts"',
        ),
        Key(
            "webhook_url",
            TEXT,
            "An incoming webhook instead of a token: one channel, no threads, no updates.",
            example="\"{{ env_var('SLACK_WEBHOOK_URL') }}\"",
        ),
        Key(
            "api_url",
            TEXT,
            "Where Slack's Web API is, for proxies and tests.",
            default="https://slack.com/api/",
            example="https://slack-proxy.example.com/api/",
        ),
        _TIMEOUT,
    ),
)

WEBHOOK = Section(
    title="alerts.webhook",
    required=("url",),
    keys=(
        Key("url", TEXT, "Where events are sent to. Required.", example="https://ops.example/in"),
        Key(
            "secret",
            TEXT,
            "What they are signed with.",
            default="no signature",
            example="\"{{ env_var('ALERTS_SECRET') }}\"",
        ),
        _TIMEOUT,
    ),
)

EMAIL = Section(
    title="alerts.email",
    **_needs(("host", "from")),
    keys=(
        Key("host", TEXT, "Mail server. Required.", example="smtp.example.com"),
        Key(
            "port",
            whole(1, 65535),
            "Its port.",
            default="587 with starttls, 465 with tls, 25 with none",
            example="2525",
        ),
        Key(
            "tls",
            one_of(("starttls", "tls", "none")),
            "How the connection is kept from others' eyes.",
            default="starttls",
            example="none",
        ),
        Key("username", TEXT, "Who logs in.", default="no login", example="alerts"),
        Key(
            "password",
            TEXT,
            "With what.",
            example="\"{{ env_var('SMTP_PASSWORD') }}\"",
        ),
        Key("from", TEXT, "Sender. Required.", example="dbtorch <alerts@example.com>"),
        Key(
            "to",
            Several(TEXT),
            "Who gets what no owner claims.",
            default="nobody",
            example="[data@example.com]",
        ),
        _MAIL_TIMEOUT,
    ),
)


def _installed(kind: Kind) -> Iterable[Key]:
    """Keys for the notifiers of other packages."""
    from dbtorch.adapters.notify.catalog import NOTIFIERS

    return (Key(name, kind, "") for name in NOTIFIERS.installed())


def _owner(said: dict[str, Any], _at: Path, _report: Report) -> OwnerRoute:
    mention = said.pop("mention", ())
    return OwnerRoute(addresses=said, mention=mention)


ALERT_OWNER = Section(
    title="alerts.owners.<name>",
    short="slack",
    more=lambda: _installed(TEXT),
    build=_owner,
    keys=(
        Key(
            "slack",
            TEXT,
            "Channel, by name or id, or person, by id or mail address.",
            default="`alerts.slack.channel`",
            example='"#finance-data"',
        ),
        Key(
            "email",
            TEXT,
            "Mail addresses.",
            default="the owner's name where it is one, or `alerts.email.to`",
            example="finance@example.com",
        ),
        *keys_of(OwnerRoute).values(),
    ),
)

ALERT_RULE = section(AlertRule, title="alerts.rules")

_ANY_NAME = r"\S[\s\S]{0,199}"
_ANY_NAME_RULE = "is no name of an owner; write 1 to 200 characters"
_FOLDER = r"[^\s/][^\n]{0,499}"
_FOLDER_RULE = "is no folder; write its path from the project, such as models/marts/finance"


_OWN = keys_of(
    AlertsSpec,
    owners=Named(of=ALERT_OWNER, pattern=_ANY_NAME, rule=_ANY_NAME_RULE),
    folders=Named(of=TEXT, pattern=_FOLDER, rule=_FOLDER_RULE),
    rules=Listed(ALERT_RULE),
)


def _known_places(written: Mapping[str, Any], at: Path, report: Report) -> None:
    """A place of a notifier that is not configured would reach nobody."""
    rules = written.get("rules")
    on = set(written) - set(_OWN)
    for number, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
        to = rule.get("to", ()) if isinstance(rule, Mapping) else ()
        for place in [to] if isinstance(to, str) else to if isinstance(to, list) else ():
            if not isinstance(place, str) or place == OWNER or parse(place).notifier in on:
                continue
            known = ", ".join(sorted(on)) or "none"
            report.wrong(
                (*at, "rules", number, "to"),
                f'is "{place}", of the notifier {parse(place).notifier}; '
                f"alerts has {known}; configure it or name another place",
            )


def _alerts(said: dict[str, Any], _at: Path, _report: Report) -> AlertsSpec:
    """Texts of a notifier's settings with ``env_var`` stay as they were written."""
    own = {name: said.pop(name) for name in _OWN if name in said}
    own["rules"] = own.get("rules") or AlertsSpec().rules
    return AlertsSpec(**own, notifiers=said)


ALERTS = Section(
    title="alerts",
    check=_known_places,
    more=lambda: _installed(checked_later("mapping", {"type": "object"})),
    build=_alerts,
    keys=(
        Key("slack", SLACK, "Slack, by a bot's token or an incoming webhook.", default="off"),
        Key("webhook", WEBHOOK, "Events as JSON, signed where there is a `secret`.", default="off"),
        Key("email", EMAIL, "Mail by SMTP.", default="off"),
        *_OWN.values(),
    ),
)

#: In the order of the documentation.
SECTIONS = (ALERTS, SLACK, WEBHOOK, EMAIL, ALERT_OWNER, ALERT_RULE)
