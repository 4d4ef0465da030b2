"""What is worth telling a person, and what an alert says, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass


class AlertEvent(StrEnum):
    """What happened."""

    FAILED = "failed"  # the last allowed attempt of a node failed
    RECOVERED = "recovered"  # a node that had failed ended well
    RETRYING = "retrying"  # an attempt failed, and another one will follow
    STALE = "stale"  # a source is older than it may be
    CHECK = "check"  # a check beyond dbt's tests complains
    DEADLINE_AT_RISK = "deadline_at_risk"  # by the history a deadline will be missed
    DEADLINE_MISSED = "deadline_missed"  # a deadline has passed, and the run still goes on
    SUCCEEDED = "succeeded"  # a run ended well
    GATED = "gated"  # a run ended without what waits for sources that are not fresh
    REMINDER = "reminder"  # a failure that was told goes on


class Severity(StrEnum):
    """How bad it is."""

    INFO = "info"  # good to know
    WARNING = "warning"  # somebody should look at it today
    ERROR = "error"  # somebody should look at it now


#: What an event is worth where nothing says otherwise; stale and check have one of their own.
SEVERITIES: Mapping[AlertEvent, Severity] = {
    AlertEvent.FAILED: Severity.ERROR,
    AlertEvent.RECOVERED: Severity.INFO,
    AlertEvent.RETRYING: Severity.INFO,
    AlertEvent.STALE: Severity.ERROR,
    AlertEvent.CHECK: Severity.ERROR,
    AlertEvent.DEADLINE_AT_RISK: Severity.WARNING,
    AlertEvent.DEADLINE_MISSED: Severity.ERROR,
    AlertEvent.SUCCEEDED: Severity.INFO,
    AlertEvent.GATED: Severity.WARNING,
    AlertEvent.REMINDER: Severity.ERROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One event, with everything a person needs to act on it. Texts hold no secrets."""

    event: AlertEvent
    severity: Severity
    at: datetime
    project: str
    target: str
    pipeline: str
    run_id: str = ""  # empty where no run is concerned
    partial: bool = False  # the run was of a part of its pipeline
    logical_date: datetime | None = None
    node_id: str = ""  # empty for the run as a whole
    kind: str = ""
    name: str = ""
    path: str = ""
    owner: str = ""  # as it was written
    mention: tuple[str, ...] = ()  # ids or e-mail addresses of those who are to be mentioned
    runbook: str = ""  # a URL, or a path within the project
    attempt: int = 0
    attempts: int = 0  # as many as there may be
    failure_class: FailureClass | None = None
    message: str = ""  # readable, and not too long
    more_lines: int = 0  # of the message, left out here
    sql_line: str = ""  # "line 12: select amont", where dbt says it
    retry_at: datetime | None = None
    blocked: int = 0  # nodes that do not run because of it
    blocked_names: tuple[str, ...] = ()  # the most important of them, exposures and marts first
    log: str = ""
    link: str = ""  # to the log or the run in a browser
    command: str = ""  # how to go on
    in_a_row: int = 1  # runs in which it failed the same way, this one included
    since: datetime | None = None  # when it failed like this for the first time
    facts: tuple[tuple[str, str], ...] = ()  # what else there is to say: name, text
    test: bool = False  # nothing has happened: somebody tries out where alerts go

    @property
    def key(self) -> str:
        """Names the event: the same however often it is found, in this process or a later one.

        A failure found again may have become a reminder meanwhile: that is the same event.
        """
        event = self.event
        if event is AlertEvent.REMINDER:
            event = AlertEvent.CHECK if self.kind == Kind.CHECK else AlertEvent.FAILED
        parts = [self.run_id, event.value, self.node_id]
        parts += [str(self.attempt)] if self.attempt else []
        return "/".join(part for part in parts if part)


def to_json(alert: Alert) -> dict[str, Any]:
    """What the outbox keeps of an alert."""
    return {field.name: plain(getattr(alert, field.name)) for field in fields(alert)}


def from_json(kept: Mapping[str, Any]) -> Alert:
    """The alert that was kept; what a newer dbtorch knows besides is left out."""
    known = {field.name for field in fields(Alert)}
    said = {name: value for name, value in kept.items() if name in known}
    for name in ("at", "logical_date", "retry_at", "since"):
        said[name] = moment(said.get(name))
    said["event"], said["severity"] = AlertEvent(said["event"]), Severity(said["severity"])
    failure_class = said.get("failure_class")
    said["failure_class"] = None if failure_class is None else FailureClass(failure_class)
    for name in ("mention", "blocked_names"):
        said[name] = tuple(said.get(name, ()))
    said["facts"] = tuple((fact, text) for fact, text in said.get("facts", ()))
    return Alert(**said)


def plain(value: Any) -> Any:
    """A field as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    return value.value if isinstance(value, StrEnum) else value


def moment(text: str | None) -> datetime | None:
    """A time as JSON has it."""
    return None if text is None else datetime.fromisoformat(text)
