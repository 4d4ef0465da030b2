"""Alerts in words, the same in every notifier; nothing here is escaped or formatted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from dbtorch.core.alerts.alert import Alert, AlertEvent, Severity
from dbtorch.core.alerts.card import RunCard
from dbtorch.core.model.state import RunState
from dbtorch.core.text.moments import shown

#: What a message begins with that is about nothing.
TEST = "TEST, nothing has happened: "

_ORDINALS = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
             "ninth", "tenth")  # fmt: skip

#: States in the order in which counts are told: what needs a look comes first.
_TOLD = (
    "failed", "upstream_failed", "cancelled", "warn", "skipped", "removed", "success", "reused",
    "up_for_retry", "running", "queued", "pending",
)  # fmt: skip

_RUN_STATES = {
    RunState.RUNNING: "is running",
    RunState.SUCCESS: "succeeded",
    RunState.GATED: "was gated: what waits for its sources did not run",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
}


#: What is said of a run that was of a part of its pipeline.
PARTIAL = "not the whole pipeline was run"


def headline(alert: Alert) -> str:
    """One line: what, and how often."""
    what = subject(alert)
    in_a_row = f", for the {nth_run(alert.in_a_row)} in a row" if alert.in_a_row > 1 else ""
    said = {
        AlertEvent.FAILED: f"{what} failed{in_a_row}",
        AlertEvent.RECOVERED: f"{what} works again",
        AlertEvent.RETRYING: f"{what} failed and is tried again",
        AlertEvent.STALE: f"{what} is {'late' if alert.severity is Severity.WARNING else 'stale'}",
        AlertEvent.CHECK: f"{what} does not pass{in_a_row}",
        AlertEvent.DEADLINE_AT_RISK: f"{what} will probably miss its deadline",
        AlertEvent.DEADLINE_MISSED: f"{what} has missed its deadline",
        AlertEvent.SUCCEEDED: f"{what} succeeded",
        AlertEvent.GATED: f"{what} {_RUN_STATES[RunState.GATED]}",
        AlertEvent.REMINDER: f"{what} still fails{in_a_row}",
    }[alert.event]
    return f"{TEST}{said}" if alert.test else said


#: Kinds whose nodes have names that say what they are.
_NAMED = ("session", "check")


def subject(alert: Alert) -> str:
    """The node, or the pipeline."""
    if not alert.name:
        return _pipeline(alert.pipeline, partial=alert.partial)
    return alert.name if alert.kind in _NAMED else f"{alert.kind} {alert.name}"


def _pipeline(name: str, *, partial: bool) -> str:
    """A pipeline in a sentence; a run of a part of it says so before anything else."""
    return f"a part of pipeline {name}" if partial else f"pipeline {name}"


def facts(alert: Alert) -> Iterator[tuple[str, str]]:
    """What else there is to know: name and text. Owner, runbook, log and command come apart."""
    if alert.pipeline:
        yield "Pipeline", f"{alert.pipeline} ({alert.project}, target {alert.target})"
    else:
        yield "Project", f"{alert.project}, target {alert.target}"
    if alert.partial:
        yield "Part", PARTIAL
    if alert.logical_date is not None:
        yield "Logical date", when(alert.logical_date)
    if alert.attempt and alert.event is not AlertEvent.RECOVERED:
        kind = f", {alert.failure_class} failure" if alert.failure_class else ""
        yield "Attempt", f"{alert.attempt} of {max(alert.attempt, alert.attempts)}{kind}"
    if alert.retry_at is not None:
        yield "Next attempt", when(alert.retry_at, seconds=True)
    if alert.since is not None and alert.in_a_row > 1:
        yield "Failing since", when(alert.since)
    if alert.path:
        yield "File", alert.path
    if alert.sql_line:
        yield "SQL that ran", alert.sql_line  # in target/run: its lines are not those of the file
    if blocks(alert):
        yield "Upstream failed", blocks(alert)
    yield from alert.facts


def blocks(alert: Alert) -> str:
    """What does not run because of it: ``12 nodes: weekly_kpis, fct_kpis and 10 more``."""
    if not alert.blocked and not alert.blocked_names:
        return ""
    count = max(alert.blocked, len(alert.blocked_names))
    rest = count - len(alert.blocked_names)
    names = ", ".join(alert.blocked_names) + (f" and {rest} more" if rest > 0 else "")
    return f"{_many(count, 'node')}: {names}"


def card_headline(card: RunCard) -> str:
    """One line about the run as it is now."""
    pipeline = _pipeline(card.pipeline, partial=card.partial)
    what = f"{pipeline} {_RUN_STATES[card.state]}"
    if card.state is RunState.GATED:
        return what
    if card.finished and card.state is not RunState.FAILED and card.failures:
        what += " after failures" if card.state is RunState.SUCCESS else ""
    elif card.failures and not card.open:
        what = f"{pipeline} works again"
    elif card.state is RunState.RUNNING and card.open:
        what += f", {_many(len(card.open) + card.failed - len(card.failures), 'failure')}"
    return f"{TEST}{what}" if card.test else what


def card_facts(card: RunCard) -> Iterator[tuple[str, str]]:
    """What else there is to know of a run."""
    yield "Project", f"{card.project}, target {card.target}"
    if card.partial:
        yield "Part", PARTIAL
    yield "Logical date", when(card.logical_date)
    yield "Started", when(card.started_at)
    if card.seconds is not None:
        yield "Took", took(card.seconds)
    yield "Run", card.run_id


def progress(card: RunCard) -> str:
    """``2 failed, 500 upstream failed, 34 success``: a line, however many there are."""
    told = [
        f"{card.counts[state]} {state.replace('_', ' ')}"
        for state in _TOLD
        if card.counts.get(state)
    ]
    return ", ".join(told)


def failure_line(alert: Alert) -> str:
    """A failure within a list."""
    in_a_row = f", for the {nth_run(alert.in_a_row)} in a row" if alert.in_a_row > 1 else ""
    kind = f" ({alert.failure_class})" if alert.failure_class else ""
    return f"{subject(alert)}{kind}{in_a_row}"


def nth_run(count: int) -> str:
    """``third run``."""
    return f"{_ORDINALS[count] if count < len(_ORDINALS) else f'{count}th'} run"


def when(moment: datetime, *, seconds: bool = False) -> str:
    """A moment that means the same to everybody who reads it."""
    return shown(moment, seconds=seconds)


def took(seconds: float) -> str:
    """A duration in whole seconds."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
