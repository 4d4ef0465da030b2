"""What alerts hide, what they quote, and how messages are named and kept."""

import json
from datetime import timedelta

import pytest

from dbtorch.adapters.notify.slack_text import BLOCK, cut, escape, inline, link, preformatted
from dbtorch.core.alerts.alert import AlertEvent, from_json, to_json
from dbtorch.core.alerts.card import card_from_json, card_to_json
from dbtorch.core.alerts.outbox import next_try
from dbtorch.core.alerts.routing import AlertsSpec, Destination, OwnerRoute, parse
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.failures.sql_line import sql_line
from tests.alerts import NOON, a_card, a_failure, one_of_each, over


@pytest.mark.parametrize("event", AlertEvent)
def test_an_alert_survives_the_outbox(event):
    alert = one_of_each()[event]
    assert from_json(json.loads(json.dumps(to_json(alert)))) == alert


def test_an_alert_of_a_newer_dbtorch_can_be_read():
    assert from_json({**to_json(a_failure()), "mood": "bad"}) == a_failure()


def test_a_card_survives_the_outbox():
    card = over(a_card(a_failure()).well_again("fct_orders", "run9"))
    assert card_from_json(json.loads(json.dumps(card_to_json(card)))) == card


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://ana:hunter2@db.example/shop", "hunter2"),
        ("the token xoxb-12-34-abcDEF was refused", "xoxb-12-34-abcDEF"),
        ("https://hooks.slack.com/services/T0/B0/abc", "T0/B0/abc"),
        ("connect(host=db password='hunter 2')", "hunter 2"),
        ("PWD=hunter2;UID=ana", "hunter2"),
        ("Authorization: Bearer hunter2", "hunter2"),
        ("value s3cret! of a variable", "s3cret!"),
    ],
)
def test_secrets_are_hidden(text, hidden):
    shown = Scrubber(["s3cret!", "", " "])(text)
    assert hidden not in shown
    assert "*****" in shown


def test_other_text_stays():
    text = "column password of table users: 3 rows @ https://docs.example/a?b=c"
    assert Scrubber([])(text) == text


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Binder Error: x\nLINE 12: select amont\n      ^", "line 12: select amont"),  # DuckDB
        ('relation "x" does not exist\n  LINE 3: from x\n', "line 3: from x"),  # Postgres
        ("SQL compilation error: error line 3 at position 5", "line 3"),  # Snowflake
        ("Syntax error: Unexpected keyword at [12:5]", "line 12"),  # BigQuery
        ("[PARSE_SYNTAX_ERROR] near 'x'.(line 7, pos 2)", "line 7"),  # Databricks
        ("mismatched input line 4:9", "line 4"),  # Trino
        ("Got 12 results, configured to fail if != 0", ""),
        ("deadline 3 passed", ""),
    ],
)
def test_the_line_of_the_sql_is_found_where_a_warehouse_says_it(message, line):
    assert sql_line(message) == line


def test_slacks_signs_are_text():
    assert escape("<!channel> a & b") == "&lt;!channel&gt; a &amp; b"
    assert inline("a\nb  `c` *d*") == "a b 'c' \u2217d\u2217"
    assert preformatted("a\n```\n<b>") == "```a\n'''\n&lt;b&gt;```"


def test_text_is_cut_at_slacks_limit_and_never_within_a_sign():
    for length in range(BLOCK - 8, BLOCK + 8):
        short = cut(escape("x" * length + "&" * 9))
        assert len(short) <= BLOCK
        assert not short.rstrip("\u2026").endswith(("&", "&a", "&am", "&amp"))
    assert len(preformatted("<" * 5000)) <= BLOCK
    assert cut("short") == "short"


def test_only_web_addresses_become_links():
    assert link("https://a.example/b", "c") == "<https://a.example/b|c>"
    assert link("javascript:alert(1)", "c") == "`javascript:alert(1)`"
    assert link("https://a.example/|x>", "c") == "`https://a.example/|x&gt;`"


@pytest.mark.parametrize(
    ("place", "destination"),
    [
        ("#data", Destination("slack", "#data")),
        ("slack:U02ABC", Destination("slack", "U02ABC")),
        ("slack:ana@example.com", Destination("slack", "ana@example.com")),
        ("ana@example.com", Destination("email", "ana@example.com")),
        ("webhook", Destination("webhook", "")),
    ],
)
def test_places_as_people_write_them(place, destination):
    assert parse(place) == destination


def test_an_owner_is_reached_by_what_the_name_says_and_by_what_the_configuration_says():
    spec = AlertsSpec(owners={"finance": OwnerRoute(addresses={"slack": "#fin"}, mention=("S1",))})
    assert spec.route("#orders").addresses == {"slack": "#orders"}
    assert spec.route("Ana <ana@example.com>").addresses == {"email": "ana@example.com"}
    assert spec.route("Ana <ana@example.com>").mention == ("ana@example.com",)
    assert spec.route("U02ABCDEF").mention == ("U02ABCDEF",)
    assert spec.route(" Finance ") == spec.owners["finance"]
    assert spec.route("UNKNOWN team").mention == ()


def test_runbooks_become_links():
    spec = AlertsSpec(runbook_base="https://git.example/blob/main")
    assert spec.runbook("docs/a.md") == "https://git.example/blob/main/docs/a.md"
    assert spec.runbook("https://wiki.example/a") == "https://wiki.example/a"
    assert AlertsSpec().runbook("docs/a.md") == "docs/a.md"


def test_waits_grow_and_what_was_asked_for_is_a_lower_bound():
    waits = [(next_try(n, NOON, lambda: 1.0) - NOON).total_seconds() for n in range(1, 12)]
    assert waits[:4] == [1.0, 2.0, 4.0, 8.0]
    assert waits[-1] == 300.0
    assert next_try(1, NOON, lambda: 0.0, asked=30.0) == NOON + timedelta(seconds=30)
    assert next_try(1, NOON, lambda: 0.0, hopeless=True) == NOON + timedelta(minutes=30)
