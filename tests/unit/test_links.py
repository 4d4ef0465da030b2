"""With `ui.url`, what people are told ends in a click on the run, or on the log."""

import re
from dataclasses import replace

import pytest

from dbtorch.adapters.notify import slack_blocks
from dbtorch.adapters.notify.mail_text import card_mail, note_mail
from dbtorch.cli.text.summary import summary_text
from dbtorch.core.ci.reports.markdown import markdown
from dbtorch.core.history.summary import summarize
from dbtorch.core.model.state import State
from dbtorch.core.text.links import log_link, node_link, run_link
from tests.unit.story import NOON, broken_shop
from tests.unit.test_alerts_telling import the_scene
from tests.unit.test_ci_result import DONE

URL = "https://dbt.acme.example/ui/"
SHOP = broken_shop()
FAILED = next(one for one in SHOP.changes if one.state is State.FAILED)


def test_whatever_a_node_is_called_it_stays_within_its_link():
    assert run_link(URL, "r/1") == "https://dbt.acme.example/ui/runs/r%2F1"
    assert node_link(URL, "r", "a&b") == "https://dbt.acme.example/ui/runs/r#node=a%26b"
    assert log_link(URL, "r", "<a>", 2).endswith("/runs/r/log?node=%3Ca%3E&attempt=2")
    assert run_link(None, "r") == node_link(None, "r", "a") == log_link("", "r", "a", 1) == ""


def test_an_alert_of_a_failure_opens_its_log():
    alert = the_scene(SHOP, ui_url=URL).failed(FAILED)
    page = f"https://dbt.acme.example/ui/runs/{alert.run_id}"
    assert alert.link == f"{page}/log?node={FAILED.node_id}&attempt={FAILED.attempt}"
    said = slack_blocks.as_text(slack_blocks.note(alert, lambda _: "", loud=False))
    assert f"*Open*  <{alert.link}|the log>" in said
    assert re.search(rf"^Open: +{re.escape(alert.link)}$", note_mail(alert)[1], re.MULTILINE)
    assert "Open:" not in note_mail(the_scene(SHOP).failed(FAILED))[1]


def test_the_card_of_a_run_opens_its_page():
    card = the_scene(SHOP, ui_url=URL).card()
    said = slack_blocks.as_text(slack_blocks.card(card, lambda _: ""))
    assert f"*Open*  <https://dbt.acme.example/ui/runs/{card.run_id}|the run>" in said
    assert re.search(
        rf"^Open: +https://dbt.acme.example/ui/runs/{card.run_id}$",
        card_mail(card)[1],
        re.MULTILINE,
    )


@pytest.mark.parametrize("link", ["", "https://dbt.acme.example/runs/r1"])
def test_a_summary_and_a_comment_name_the_page_of_the_run(link):
    text = summary_text(summarize(SHOP.kept(), link=link))
    assert ("the run in a browser" in text) is bool(link)
    assert (f"\n  {link}\n" in text) is bool(link)
    comment = markdown(replace(DONE, run_id="r1", link=link), NOON)
    assert ("Run [`r1`](https://dbt.acme.example/runs/r1)" in comment) is bool(link)
