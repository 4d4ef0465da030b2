"""Keys of ``alerts``, and what they come to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.config import durations
from dbtorch.adapters.config.kinds import (
    TEXT,
    TIMEOUT,
    Key,
    Kind,
    Listed,
    Named,
    Scalar,
    Section,
    Several,
    checked_later,
    one_of,
    whole,
)
from dbtorch.adapters.config.problems import Path, Refused, Report
from dbtorch.core.alerts import AlertEvent, Severity
from dbtorch.core.incidents import REMIND_AFTER
from dbtorch.core.routing import OWNER, AlertRule, AlertsSpec, OwnerRoute, parse

_BUILT_IN = ("slack", "webhook", "email")
_OWN_KEYS = ("owners", "folders", "rules", "remind_after", "runbook_base")

_TIMEOUT = Key(
    "timeout", TIMEOUT, "Longest wait for an answer to one request.", default="10s", example="5s"
)


def _tls(value: Any) -> str:
    words = ("starttls", "tls", "none")
    if value not in words:
        raise Refused(f"expected one of {', '.join(words)}")
    return str(value)


def _needs(*ways: tuple[str, ...]) -> Any:
    """A check that one of these sets of keys was written."""

    def check(written: Mapping[str, Any], at: Path, report: Report) -> None:
        if not any(all(key in written for key in way) for way in ways):
            report.wrong(at, f"needs {' or '.join(' and '.join(way) for way in ways)}")

    return check


SLACK = Section(
    title="alerts.slack",
    check=_needs(("token", "channel"), ("webhook_url",)),
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
    required="url",
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
    check=_needs(("host", "from")),
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
            Scalar("starttls or tls or none", _tls),
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
        _TIMEOUT,
    ),
)


def _places() -> Mapping[str, Kind]:
    """Addresses for the notifiers of other packages."""
    from dbtorch.adapters.notify.catalog import installed

    return dict.fromkeys(installed(), TEXT)


def _others() -> Mapping[str, Kind]:
    """Settings of the notifiers of other packages."""
    from dbtorch.adapters.notify.catalog import installed

    return dict.fromkeys(installed(), checked_later("mapping"))


ALERT_OWNER = Section(
    title="alerts.owners.<name>",
    short="slack",
    more=_places,
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
        Key(
            "mention",
            Several(TEXT),
            "Who is mentioned in Slack: ids of people or groups, or mail addresses.",
            default="those in the owner's name",
            example="[U02ABCDEF, ana@example.com]",
        ),
    ),
)

_EVENTS = one_of(AlertEvent)
_SEVERITIES = one_of(Severity)

ALERT_RULE = Section(
    title="alerts.rules",
    keys=(
        Key(
            "events",
            Several(_EVENTS),
            "What happened.",
            default="all but `retrying` and `succeeded`",
            example="[failed, recovered, reminder]",
        ),
        Key("severities", Several(_SEVERITIES), "How bad.", default="all", example="error"),
        Key("pipelines", Several(TEXT), "In which pipelines.", default="all", example="[daily]"),
        Key("owners", Several(TEXT), "Whose nodes.", default="all", example="[finance]"),
        Key(
            "to",
            Several(TEXT),
            "`owner`, `#channel`, a mail address, or a notifier with or without an address:"
            " `webhook`, `slack:U02ABCDEF`.",
            default=OWNER,
            example='[owner, "#incidents"]',
        ),
    ),
)

_ANY_NAME = r"(?s)\S.{0,199}"
_ANY_NAME_RULE = "is no name of an owner; write 1 to 200 characters"
_FOLDER = r"[^\s/][^\n]{0,499}"
_FOLDER_RULE = "is no folder; write its path from the project, such as models/marts/finance"


def _known_places(written: Mapping[str, Any], at: Path, report: Report) -> None:
    """A place of a notifier that is not configured would reach nobody."""
    rules = written.get("rules")
    on = set(written) - set(_OWN_KEYS)
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


ALERTS = Section(
    title="alerts",
    check=_known_places,
    more=_others,
    keys=(
        Key("slack", SLACK, "Slack, by a bot's token or an incoming webhook.", default="off"),
        Key("webhook", WEBHOOK, "Every event as signed JSON.", default="off"),
        Key("email", EMAIL, "Mail by SMTP.", default="off"),
        Key(
            "owners",
            Named(of=ALERT_OWNER, pattern=_ANY_NAME, rule=_ANY_NAME_RULE),
            "Where owners are reached; text is their place in Slack.",
            default="by what their names say",
            example='{finance: "#finance-data"}',
        ),
        Key(
            "folders",
            Named(of=TEXT, pattern=_FOLDER, rule=_FOLDER_RULE),
            "Who owns what has no owner of its own, by folder; the innermost counts.",
            default="nobody",
            example="{models/marts/finance: finance}",
        ),
        Key(
            "rules",
            Listed(ALERT_RULE),
            "Which alerts go where; all rules that fit count, and no place is told twice.",
            default="one rule with the defaults below",
            example="[{events: [failed, recovered]}]",
        ),
        Key(
            "remind_after",
            TIMEOUT,
            "A failure that goes on is told aloud again after this time.",
            default=durations.text(REMIND_AFTER),
            example="4h",
        ),
        Key(
            "runbook_base",
            TEXT,
            "What makes a URL of a runbook's path.",
            default="paths stay text",
            example="https://git.example.com/shop/blob/main/",
        ),
    ),
)

#: In the order of the documentation.
SECTIONS = (ALERTS, SLACK, WEBHOOK, EMAIL, ALERT_OWNER, ALERT_RULE)


def spec(said: Mapping[str, Any] | None) -> AlertsSpec:
    """What ``alerts`` comes to; texts with ``env_var`` stay as they were written."""
    said = said or {}
    rules = tuple(_rule(part) for part in said.get("rules", ()))
    return AlertsSpec(
        notifiers={name: part for name, part in said.items() if name not in _OWN_KEYS},
        owners={name: _owner(part) for name, part in said.get("owners", {}).items()},
        folders=said.get("folders", {}),
        rules=rules or (AlertRule(),),
        remind_after=said.get("remind_after", REMIND_AFTER),
        runbook_base=said.get("runbook_base", ""),
    )


def _rule(said: Mapping[str, Any]) -> AlertRule:
    chosen: dict[str, Any] = {
        key: tuple(value) if key == "to" else frozenset(value) for key, value in said.items()
    }
    return AlertRule(**chosen)


def _owner(said: Mapping[str, Any]) -> OwnerRoute:
    addresses = {key: value for key, value in said.items() if key != "mention"}
    return OwnerRoute(addresses=addresses, mention=tuple(said.get("mention", ())))


def rendered(value: Any, environ: Mapping[str, str]) -> Any:
    """Settings of a notifier with their environment variables filled in. Raises `Refused`."""
    from dbtorch.adapters.config import environment

    if isinstance(value, str):
        return environment.render(value, environ) if re.search(r"\{[{%]", value) else value
    if isinstance(value, Mapping):
        return {key: rendered(part, environ) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(part, environ) for part in value]
    return value
