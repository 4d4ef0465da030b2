"""Alerts and cards as the subject and the text of a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from dbtorch.core.alerts.alert import Alert
from dbtorch.core.alerts.card import RunCard
from dbtorch.core.alerts.text import (
    TEST,
    card_facts,
    card_headline,
    facts,
    failure_line,
    headline,
    progress,
)

#: Failures that are told in full.
_DETAILED = 5


def note_mail(alert: Alert) -> tuple[str, str]:
    """Subject and text for one event."""
    subject = f"[{alert.project}] {headline(alert)} ({alert.pipeline}, {alert.target})"
    subject = f"{TEST}{subject.replace(TEST, '', 1)}" if alert.test else subject
    return subject, "\n".join([headline(alert), "", *_details(alert)]) + "\n"


def card_mail(run: RunCard) -> tuple[str, str]:
    """Subject and text for a run."""
    open = run.open
    what = f"{failure_line(open[0])}" if len(open) == 1 else f"{run.failed} failures"
    subject = f"[{run.project}] {card_headline(run)}: {what} ({run.target})"
    subject = f"{TEST}{subject.replace(TEST, '', 1)}" if run.test else subject
    about = [*card_facts(run), ("Open", run.link)]
    lines = [card_headline(run), "", *_table([(name, text) for name, text in about if text])]
    if run.counts:
        lines += ["", progress(run)]
    for failure in open[:_DETAILED]:
        lines += ["", "-" * 72, headline(failure), "", *_details(failure)]
    others = [f"  {failure_line(failure)}" for failure in open[_DETAILED:]]
    rest = run.failed - len(run.failures)
    others += [f"  and {rest} more"] if rest > 0 else []
    lines += ["", "-" * 72, "Failed as well:", *others] if others else []
    lines += ["", *(f"! {text}" for text in run.remarks)] if run.remarks else []
    return subject, "\n".join(lines) + "\n"


def _details(alert: Alert) -> Iterator[str]:
    if alert.message:
        yield textwrap.indent(alert.message, "    ")
        if alert.more_lines:
            yield f"    ... and {alert.more_lines} more lines in its log"
        yield ""
    rows = list(facts(alert))
    rows += [("Owner", alert.owner), ("Runbook", alert.runbook), ("Log", alert.log)]
    rows += [("Open", alert.link), ("Continue", alert.command)]
    yield from _table([(name, text) for name, text in rows if text])


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        yield f"{name + ':':<{width + 1}}  {text}"
