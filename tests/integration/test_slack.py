"""Slack, through slack-sdk, against a server that behaves like it."""

from dataclasses import replace

import pytest

from dbtorch.adapters.notify import slack
from dbtorch.core.alerts.alert import AlertEvent
from dbtorch.core.model.state import RunState
from dbtorch.ports.notifier import NotDelivered
from tests.alerts import a_card, a_delivery, a_failure, one_of_each, over
from tests.slack_server import (
    TOKEN,
    Slack,
    arrives_and_drops,
    broken,
    drops,
    rate_limited,
    slack_server,
    slow,
)
from tests.unit.loopback import answering, trickling
from tests.waiting import PATIENCE


@pytest.fixture
def server():
    with slack_server() as found:
        yield found


@pytest.fixture
def bot(server):
    return slack.SlackBot(TOKEN, api_url=server.url, timeout=PATIENCE)


@pytest.fixture
def hook(server):
    return slack.SlackWebhook(server.webhook_url, timeout=PATIENCE)


def refused(deliver) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        deliver()
    return caught.value


def test_a_run_is_one_message_that_changes_with_details_in_its_thread(bot, server: Slack):
    card = a_card(a_failure())
    posted = a_delivery(card)
    receipt = bot.deliver(posted, None)
    posted = replace(posted, receipt=receipt, sent_version=1)
    bot.deliver(a_delivery(a_failure(), thread=card.key), posted)
    done = over(card.well_again("fct_orders", card.run_id), RunState.SUCCESS)
    assert bot.deliver(replace(a_delivery(done), receipt=receipt), None) == receipt
    (message,) = server.top_level()
    assert message["edited"]
    assert "works again" in message["text"] or "succeeded" in message["text"]
    (reply,) = server.thread(message["ts"])
    assert "amont" in str(reply["blocks"])
    assert not reply["reply_broadcast"]


def test_every_event_and_every_card_is_within_slacks_limits(bot, hook, server: Slack):
    huge = a_failure(message="\n".join("<!channel> & " * 400 for _ in range(30)))
    names = tuple(f"node_{'x' * 90}_{number}" for number in range(60))
    failures = [replace(huge, node_id=name, name=name, blocked_names=names) for name in names]
    failures[1] = replace(failures[1], facts=tuple(("fact", "x" * 2900) for _ in range(60)))
    card = a_card(
        *failures, recovered=tuple(("y" * 2900 + str(number), "") for number in range(60))
    )
    for notifier in (bot, hook):
        for alert in (*one_of_each().values(), *failures[:2]):
            notifier.deliver(a_delivery(alert), None)
        notifier.deliver(a_delivery(card), None)
        notifier.deliver(a_delivery(over(card)), None)
    assert len(server.messages) == 2 * (len(AlertEvent) + 2 + 2)
    assert max(len(message["blocks"]) for message in server.messages) == 50


def test_text_of_others_mentions_nobody(bot, server: Slack):
    nasty = "<!channel> <@U123> <#C123> <https://evil.example|click> @here ``` *x*"
    alert = a_failure(
        message=nasty, name=nasty, owner=nasty, mention=(), runbook=nasty, path=nasty, log=nasty
    )
    bot.deliver(a_delivery(alert), None)
    bot.deliver(a_delivery(a_card(alert)), None)
    for message in server.messages:
        assert "<" not in str([message["text"], message["blocks"]]).replace("&lt;", "")
        for block in message["blocks"]:
            for text in [block.get("text"), *block.get("elements", [])]:
                assert text is None or text["verbatim"]


def test_people_are_mentioned_by_id_and_looked_up_by_address(bot, server: Slack):
    mention = ("U02X", "S0GROUP", "ana@example.com", "gone@example.com")
    bot.deliver(a_delivery(a_failure(mention=mention)), None)
    bot.deliver(a_delivery(a_failure(mention=mention)), None)
    assert "<@U02X> <!subteam^S0GROUP> <@U0000ANA> gone@example.com" in server.messages[0]["text"]
    assert len(server.called("users.lookupByEmail")) == 2  # each asked for once


def test_a_quiet_note_mentions_nobody_and_a_reminder_is_seen_in_the_channel(bot, server: Slack):
    card = a_delivery(a_card(a_failure()))
    card = replace(card, receipt=bot.deliver(card, None))
    quiet = a_delivery(a_failure(in_a_row=3), thread="run/x", more={"loud": False})
    bot.deliver(quiet, card)
    loud = a_delivery(a_failure(AlertEvent.REMINDER), thread="run/x", more={"broadcast": True})
    bot.deliver(loud, card)
    quiet_one, loud_one = server.messages[1:]
    assert "third run in a row" in quiet_one["text"]
    assert "<@" not in str(quiet_one)
    assert "<@U0000ANA>" in loud_one["text"]
    assert loud_one["reply_broadcast"]


def test_who_was_mentioned_in_the_card_is_not_disturbed_again_in_its_thread(bot, server: Slack):
    card = a_delivery(a_card(a_failure()))
    card = replace(card, receipt=bot.deliver(card, None))
    more = {"follows": True}
    bot.deliver(a_delivery(a_failure(), thread="run/x", more=more), card)
    other = a_failure(mention=("U0OTHER",), owner="ops")
    bot.deliver(a_delivery(other, thread="run/x", more=more), card)
    assert "<@U0000ANA>" in str(server.messages[0]["blocks"])
    assert "<@" not in server.messages[1]["text"]
    assert "<@U0OTHER>" in server.messages[2]["text"]


def test_a_person_is_reached_by_mail_address(bot, server: Slack):
    bot.deliver(a_delivery(a_failure(), address="ana@example.com"), None)
    assert server.messages[0]["channel"] == "U0000ANA"
    error = refused(lambda: bot.deliver(a_delivery(a_failure(), address="x@example.com"), None))
    assert "nobody in Slack has the address x@example.com" in str(error)
    assert error.hopeless


@pytest.mark.parametrize(
    ("token", "address", "said"),
    [
        ("xoxb-wrong", "#data", "invalid_auth; check alerts.slack.token"),
        (TOKEN, "#nowhere", "channel_not_found; check the channel, and invite the bot"),
    ],
)
def test_mistakes_are_not_tried_again_and_say_what_to_do(server, token, address, said):
    bot = slack.SlackBot(token, api_url=server.url.rstrip("/"), timeout=PATIENCE)
    error = refused(lambda: bot.deliver(a_delivery(a_failure(), address=address), None))
    assert said in str(error)
    assert error.hopeless
    assert not error.unsure
    assert "xoxb" not in str(error)


def test_retry_after_is_honoured(bot, hook, server: Slack):
    for notifier in (bot, hook):
        server.trouble = [rate_limited(17)]
        error = refused(lambda notifier=notifier: notifier.deliver(a_delivery(a_failure()), None))
        assert (error.retry_after, error.hopeless, error.unsure) == (17.0, False, False)
    assert len(server.calls) == 2  # it is not tried again here


@pytest.mark.parametrize(
    ("trouble", "said", "unsure"),
    [
        (broken, "status 500", False),
        (drops, "the connection to Slack broke", True),
        (slow(3.0), "Slack did not answer in time", True),
    ],
    ids=["500", "dropped", "late"],
)
@pytest.mark.parametrize("kind", ["bot", "hook"])
def test_trouble_passes_and_is_said_in_one_sentence(request, server, kind, trouble, said, unsure):
    server.trouble = [trouble]
    notifier = request.getfixturevalue(kind)
    notifier._timeout = 0.3
    error = refused(lambda: notifier.deliver(a_delivery(a_failure()), None))
    assert said in str(error)
    assert (error.hopeless, error.unsure) == (False, unsure)


def test_a_slow_answer_is_an_answer(bot, server: Slack):
    server.trouble = [slow(0.3)]
    assert bot.deliver(a_delivery(a_failure()), None)["ts"]


def test_slack_out_of_reach():
    bot = slack.SlackBot(TOKEN, api_url="http://127.0.0.1:1/api/", timeout=1.0)
    error = refused(lambda: bot.deliver(a_delivery(a_failure()), None))
    assert "Slack is not reached" in str(error)
    assert (error.hopeless, error.unsure) == (False, False)


def test_a_message_whose_answer_was_lost_is_found_and_not_sent_again(bot, server: Slack):
    to = "C0000DATA"
    server.trouble = [arrives_and_drops]
    assert refused(lambda: bot.deliver(a_delivery(a_card(a_failure()), address=to), None)).unsure
    more = a_card(a_failure(), a_failure(node_id="b", name="b"))
    receipt = bot.deliver(a_delivery(more, address=to, unsure=True, tries=1), None)
    (message,) = server.messages
    assert receipt["ts"] == message["ts"]
    assert "2 failures" in message["text"]  # it says what there is to say by now


def test_a_reply_whose_answer_was_lost_is_found_too(bot, server: Slack):
    card = a_delivery(a_card(a_failure()))
    card = replace(card, receipt=bot.deliver(card, None))
    note = a_delivery(a_failure(), thread="run/x")
    server.trouble = [arrives_and_drops]
    assert refused(lambda: bot.deliver(note, card)).unsure
    bot.deliver(replace(note, unsure=True), card)
    assert len(server.messages) == 2


def test_a_bot_that_may_not_look_tells_twice_rather_than_never(bot, server: Slack):
    server.may_look = False
    note = a_delivery(a_failure(), address="C0000DATA", unsure=True)
    assert bot.deliver(note, None)["ts"]


def test_a_message_that_somebody_deleted_stays_deleted(bot, server: Slack):
    card = a_delivery(a_card(a_failure()))
    receipt = bot.deliver(card, None)
    server.messages.clear()
    receipt = bot.deliver(replace(a_delivery(over(a_card(a_failure()))), receipt=receipt), None)
    assert receipt["gone"]
    assert bot.deliver(replace(card, receipt=receipt), None) == receipt
    assert server.messages == []


def test_an_incoming_webhook_tells_of_a_run_at_first_and_at_the_end(hook, server: Slack):
    one = a_card(a_failure())
    told = hook.deliver(a_delivery(one), None)
    assert "amont" in str(server.messages[0]["blocks"])  # there is no thread for the details
    two = one.failing(a_failure(node_id="b", name="fct_kpis"))
    assert hook.deliver(replace(a_delivery(two), receipt=told), None) == told
    told = hook.deliver(replace(a_delivery(over(two)), receipt=told), None)
    assert len(server.messages) == 2
    hook.deliver(replace(a_delivery(over(two)), receipt=told), None)
    assert len(server.messages) == 2


def test_an_incoming_webhook_that_is_no_more(server: Slack):
    hook = slack.SlackWebhook(server.webhook_url.replace("right", "wrong"), timeout=PATIENCE)
    error = refused(lambda: hook.deliver(a_delivery(a_failure()), None))
    assert "no_service" in str(error)
    assert error.hopeless


@pytest.mark.parametrize("kind", ["bot", "hook"])
def test_a_server_that_trickles_has_no_more_time_than_any_other(kind):
    with trickling(b"HTTP/1.0 200 OK\r\nContent-Length: 100000\r\n\r\n") as (host, port):
        url = f"http://{host}:{port}/api"
        notifier = (
            slack.SlackBot(TOKEN, api_url=url, timeout=0.3)
            if kind == "bot"
            else slack.SlackWebhook(url, timeout=0.3)
        )
        error = refused(lambda: notifier.deliver(a_delivery(a_failure()), None))
    assert "Slack did not answer in time" in str(error)
    assert error.unsure


@pytest.mark.parametrize("body", [b'{"ok": true, "channel"', b"", b'{"ok": true, "ts": 1e999}'])
def test_an_answer_that_is_not_whole_says_nothing(body):
    """That it begins with "ok" does not tell where the message is."""
    head = b"HTTP/1.0 200 OK\r\nContent-Length: 40\r\n\r\n"
    with answering(head + body) as url:
        bot = slack.SlackBot(TOKEN, api_url=url, timeout=5.0)
        error = refused(lambda: bot.deliver(a_delivery(a_failure()), None))
    assert "the connection to Slack broke: the answer was cut off" in str(error)
    assert error.unsure


def test_the_path_of_a_webhook_is_a_secret():
    hook = slack.SlackWebhook("https://hooks.slack.com/services/T0/B0/T0P SECRET", timeout=1.0)
    error = refused(lambda: hook.deliver(a_delivery(a_failure()), None))
    assert str(error) == "alerts.slack.webhook_url holds a character that HTTP forbids"
    assert error.hopeless
