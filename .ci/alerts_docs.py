"""Writes the examples of ``docs/alerts.md`` in the code's own words."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbtorch.adapters.notify import slack_blocks
from dbtorch.adapters.notify.mail_text import note_mail
from dbtorch.core.alerts.alert import Alert, AlertEvent
from dbtorch.core.alerts.examples import example, example_card
from dbtorch.core.alerts.routing import AlertsSpec, OwnerRoute
from dbtorch.core.model.state import RunState

PAGE = Path(__file__).parents[1] / "docs" / "alerts.md"
_EXAMPLES = re.compile(r"(<!-- examples -->\n).*?(<!-- end -->)", re.DOTALL)
_NOW = datetime(2026, 3, 1, 6, 12, tzinfo=UTC)
_SPEC = AlertsSpec(owners={"finance": OwnerRoute(mention=("U02ABCDEF",))})
_ABOUT = {"project": "shop", "pipeline": "daily", "owner": "finance", "now": _NOW}
_RUN = "20260301T060003Z-1c9f2e"


def updated(page: str) -> str:
    """The page with the examples as the code writes them. Raises `ValueError` for no place."""
    text = "\n".join(_examples())
    page, count = _EXAMPLES.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the examples")
    return page


def _examples() -> Iterator[str]:
    card = replace(example_card(_SPEC, **_ABOUT), run_id=_RUN, target="prod", test=False)
    failed = _alert(AlertEvent.FAILED)
    card = replace(card, failures=(failed,), command=failed.command)
    yield "\n### A run, in the channel\n\nWhile it goes on:\n"
    yield from _block(slack_blocks.as_text(slack_blocks.card(card, _mention)))
    counts = {"failed": 1, "upstream_failed": 12, "success": 36}
    over = replace(card, state=RunState.FAILED, finished_at=_NOW, counts=counts)
    yield "\nThe same message when the run is over:\n"
    yield from _block(slack_blocks.as_text(slack_blocks.card(over, _mention)))
    yield "\nAnd after the next run:\n"
    later = over.well_again("fct_orders", "20260302T060002Z-77ab01")
    yield from _block(slack_blocks.as_text(slack_blocks.card(later, _mention)))
    for event in AlertEvent:
        yield f"\n### `{event.value}`\n"
        blocks = slack_blocks.note(_alert(event), _mention, loud=event not in _QUIET)
        yield from _block(slack_blocks.as_text(blocks))
    yield "\n### A mail\n"
    subject, text = note_mail(_alert(AlertEvent.REMINDER))
    yield from _block(f"Subject: {subject}\n\n{text}")


_QUIET = {AlertEvent.RECOVERED, AlertEvent.RETRYING, AlertEvent.SUCCEEDED}


def _alert(event: AlertEvent) -> Alert:
    alert = example(event, _SPEC, **_ABOUT)
    since = None if alert.since is None else _NOW - timedelta(days=alert.in_a_row - 1)
    return replace(
        alert,
        target="prod",
        run_id=_RUN,
        test=False,
        since=since,
        log=alert.log.replace(alert.run_id, _RUN),
        command=alert.command.replace(alert.run_id, _RUN),
        runbook="https://git.example.com/shop/docs/runbooks/fct_orders.md" if alert.message else "",
    )


def _mention(people: Sequence[str]) -> str:
    return " ".join("@ana" for _ in people)


def _block(text: str) -> Iterator[str]:
    yield "~~~text"
    yield from text.rstrip().splitlines()
    yield "~~~"


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
