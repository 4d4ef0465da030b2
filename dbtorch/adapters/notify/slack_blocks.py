"""Alerts and cards as Slack's blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dbtorch.adapters.notify.slack_text import (
    BLOCK,
    BLOCKS,
    FALLBACK,
    context,
    cut,
    inline,
    link,
    preformatted,
    section,
)
from dbtorch.core.alerts.alert import Alert, AlertEvent, Severity
from dbtorch.core.alerts.card import RunCard
from dbtorch.core.alerts.text import (
    card_facts,
    card_headline,
    facts,
    failure_line,
    headline,
    progress,
)
from dbtorch.core.model.state import RunState

#: Answers how the people behind ids and mail addresses are mentioned.
Mention = Callable[[Sequence[str]], str]

#: Failures whose details are told with a card that has no thread.
_DETAILED = 5

_TEST = ":test_tube:"

_SIGNS = {
    AlertEvent.FAILED: ":red_circle:",
    AlertEvent.RECOVERED: ":large_green_circle:",
    AlertEvent.RETRYING: ":arrows_counterclockwise:",
    AlertEvent.STALE: ":hourglass:",
    AlertEvent.CHECK: ":mag:",
    AlertEvent.DEADLINE_AT_RISK: ":warning:",
    AlertEvent.DEADLINE_MISSED: ":alarm_clock:",
    AlertEvent.SUCCEEDED: ":large_green_circle:",
    AlertEvent.GATED: ":large_yellow_circle:",
    AlertEvent.REMINDER: ":bell:",
}


def note(alert: Alert, mention: Mention, *, loud: bool) -> list[dict[str, Any]]:
    """Everything about one event. Somebody is mentioned when it is ``loud``."""
    return list(_note(alert, mention, loud=loud))[:BLOCKS]


def card(run: RunCard, mention: Mention, *, details: bool = False) -> list[dict[str, Any]]:
    """A run as it is now; with the details of its failures where there is no thread for them."""
    blocks = list(_card(run, mention))
    for failure in run.open[:_DETAILED] if details else ():
        blocks += [{"type": "divider"}, *_note(failure, mention, loud=False)]
    return blocks[:BLOCKS]


def note_text(alert: Alert, mention: Mention, *, loud: bool) -> str:
    """What a notification shows."""
    people = f" {mention(alert.mention)}" if loud and alert.mention else ""
    return cut(f"{inline(headline(alert))} ({inline(alert.pipeline)}){people}", FALLBACK)


def card_text(run: RunCard) -> str:
    """What a notification shows of a card."""
    names = ", ".join(inline(failure_line(failure)) for failure in run.open[:3])
    return cut(f"{inline(card_headline(run))}{f': {names}' if names else ''}", FALLBACK)


def as_text(blocks: Sequence[dict[str, Any]]) -> str:
    """Blocks as a person reads them who has no Slack at hand."""
    texts = []
    for block in blocks:
        parts = [block["text"]] if "text" in block else block.get("elements", [])
        texts.append("\n".join(part["text"] for part in parts) or "-" * 40)
    text = "\n".join(texts)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _note(alert: Alert, mention: Mention, *, loud: bool) -> Iterator[dict[str, Any]]:
    sign = _SIGNS[alert.event] if alert.severity is not Severity.WARNING else ":warning:"
    sign = _TEST if alert.test else sign
    people = f" {mention(alert.mention)}" if loud and alert.mention else ""
    yield section(f"{sign} *{inline(headline(alert))}*{people}")
    if alert.message:
        yield section(preformatted(alert.message))
    if alert.more_lines:
        yield context(f"and {alert.more_lines} more lines in its log")
    lines = [f"*{inline(name)}*  {inline(text)}" for name, text in facts(alert)]
    owner = mention(alert.mention) if alert.mention and loud else inline(alert.owner)
    lines += [f"*Owner*  {owner}"] if alert.owner else []
    lines += [f"*Runbook*  {_runbook(alert.runbook)}"] if alert.runbook else []
    lines += [f"*Log*  `{inline(alert.log)}`"] if alert.log else []
    where = "the log" if alert.log else "the run"
    lines += [f"*Open*  {link(alert.link, where)}"] if alert.link else []
    lines += [f"*Continue*  `{inline(alert.command)}`"] if alert.command else []
    yield from _sections(lines)


def _runbook(written: str) -> str:
    return link(written, written.rstrip("/").rpartition("/")[2] or written)


def _card(run: RunCard, mention: Mention) -> Iterator[dict[str, Any]]:
    yield section(f"{_sign(run)} *{inline(card_headline(run))}*")
    yield context("  \u00b7  ".join(f"{inline(n)}: {inline(text)}" for n, text in card_facts(run)))
    open = run.open
    lines = [_listed(failure, mention) for failure in open]
    rest = run.failed - len(run.failures)
    lines += [f"\u2022 and {rest} more"] if rest > 0 else []
    yield from _sections(lines)
    yield from _sections(
        [f":large_green_circle: works again: {inline(t)}" for t in run.works_again]
    )
    yield from _sections([f":arrows_counterclockwise: {inline(text)}" for text in run.retrying])
    yield from _sections([f":alarm_clock: {inline(text)}" for text in run.remarks])
    if run.counts:
        yield context(inline(progress(run)))
    if run.link:
        yield section(f"*Open*  {link(run.link, 'the run')}")
    if run.command and open:
        yield section(f"*Continue*  `{inline(run.command)}`")


def _listed(alert: Alert, mention: Mention) -> str:
    said = next((line for line in alert.message.splitlines() if line.strip()), "")
    people = mention(alert.mention) if alert.mention else inline(alert.owner)
    owner = f"  \u00b7  {people}" if people else ""
    return f"\u2022 *{inline(failure_line(alert))}*: {cut(inline(said), 300)}{owner}"


def _sign(run: RunCard) -> str:
    if run.test:
        return _TEST
    if run.open:
        return ":red_circle:"
    if run.state is RunState.RUNNING:
        return ":large_blue_circle:" if not run.failures else ":large_green_circle:"
    if run.state is RunState.GATED:
        return ":large_yellow_circle:"
    healthy = run.state is RunState.SUCCESS or run.failures
    return ":large_green_circle:" if healthy else ":white_circle:"


def _sections(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Lines in as few blocks as they fit into, none of them halved."""
    held: list[str] = []
    for line in (cut(line) for line in lines):
        if held and sum(map(len, held)) + len(held) + len(line) > BLOCK:
            yield section("\n".join(held))
            held = []
        held.append(line)
    if held:
        yield section("\n".join(held))
