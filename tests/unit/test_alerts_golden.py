"""The blocks of every event and of a run's card, as files; DBTORCH_WRITE_GOLDEN=1 writes them anew."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dbtorch.adapters.notify import slack_blocks
from dbtorch.adapters.notify.mail_text import card_mail, note_mail
from dbtorch.core.alerts.alert import AlertEvent, Severity
from dbtorch.core.model.state import RunState
from tests.alerts import a_card, a_check, a_failure, one_of_each, over

FOLDER = Path(__file__).parents[1] / "golden" / "alerts"

AGAIN = a_failure(in_a_row=3)
WARNS = a_check(severity=Severity.WARNING, blocked=0, blocked_names=(), command="")
OTHER = a_failure(node_id="test.shop.unique_kpis", kind="test", name="unique_kpis", owner="")
FAILED = a_card(a_failure(), replace(OTHER, mention=()))

CARDS = {
    "card_started": a_card(counts={"running": 2, "pending": 532}),
    "card_retrying": a_card(retrying=("stg_rates is tried again at 12:04:00 UTC, attempt 2 of 3",)),
    "card_failing": FAILED,
    "card_failed": over(FAILED),
    "card_late": a_card(notes=("missed its deadline, 2026-03-01 14:00 UTC",)),
    "card_recovered": over(a_card(a_failure())).well_again("fct_orders", "20260302T120000Z-bbbbbb"),
    "card_gated": over(
        a_card(
            partial=True,
            counts={"success": 3, "skipped": 2},
            notes=("Waits for source shop.orders: 2 nodes: kpis, orders",),
        ),
        RunState.GATED,
    ),
    "card_done": over(a_card(counts={"success": 536}), RunState.SUCCESS),
}


def mention(people):
    return " ".join(f"<@{who}>" for who in people)


def rendered():
    for event, alert in one_of_each().items():
        yield event.value, slack_blocks.note(alert, mention, loud=True)
    yield "check_warns", slack_blocks.note(WARNS, mention, loud=True)
    yield "failed_again", slack_blocks.note(AGAIN, mention, loud=False)
    for name, card in CARDS.items():
        yield name, slack_blocks.card(card, mention)
    yield "digest", slack_blocks.card(over(FAILED), mention, details=True)


def mails():
    for event, alert in one_of_each().items():
        yield event.value, note_mail(alert)
    yield "card_failed", card_mail(over(FAILED))


FILES = {f"{name}.json": json.dumps(blocks, indent=1) + "\n" for name, blocks in rendered()}
FILES |= {f"{name}.txt": f"{subject}\n\n{text}" for name, (subject, text) in mails()}


@pytest.mark.parametrize("name", FILES)
def test_it_looks_as_it_did(name):
    path = FOLDER / name
    if os.environ.get("DBTORCH_WRITE_GOLDEN"):
        path.write_text(FILES[name], encoding="utf-8")
    assert FILES[name] == path.read_text(encoding="utf-8")


def test_no_file_is_left_over():
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)


def test_every_event_has_a_file():
    assert {f"{event.value}.json" for event in AlertEvent} < set(FILES)


def test_five_hundred_skipped_nodes_are_one_line():
    text = slack_blocks.as_text(slack_blocks.card(over(FAILED), mention))
    assert text.count("500 upstream failed") == 1
    assert len(text.splitlines()) < 10
