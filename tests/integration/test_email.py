"""Mail, by smtplib, to a server of the test's own."""

from dataclasses import replace

import pytest

from dbtorch.adapters.notify import email
from dbtorch.adapters.notify.base import NotifierError
from dbtorch.core.alerts.alert import AlertEvent
from dbtorch.ports.notifier import NotDelivered
from tests.alerts import a_card, a_delivery, a_failure, one_of_each, over
from tests.smtp_server import mail_server
from tests.unit.loopback import trickling
from tests.waiting import PATIENCE

TO = "Ana <ana@example.com>, data@example.com"


@pytest.fixture
def server():
    with mail_server() as found:
        yield found


@pytest.fixture
def mail(server):
    settings = {"host": "127.0.0.1", "port": server.port, "tls": "none", "timeout": PATIENCE}
    return email.open({**settings, "from": "dbtorch <alerts@example.com>"})


def to_ana(body, **given):
    return a_delivery(body, notifier="email", address=TO, **given)


def refused(mail, address=TO) -> NotDelivered:
    with pytest.raises(NotDelivered) as caught:
        mail.deliver(a_delivery(a_failure(), notifier="email", address=address), None)
    return caught.value


def test_a_mail_says_what_happened_and_what_to_do(mail, server):
    mail.deliver(to_ana(a_failure(message="naïve ☃ value\n.\nafter a dot")), None)
    (got,) = server.mails
    assert server.receivers == ["ana@example.com", "data@example.com"]
    assert got["From"] == "dbtorch <alerts@example.com>"
    assert got["Subject"] == "[shop] model fct_orders failed (daily, prod)"
    assert got["Auto-Submitted"] == "auto-generated"
    text = got.get_content()
    assert "naïve ☃ value" in text
    assert "after a dot" in text
    assert "Continue:" in text
    assert "dbtorch retry" in text


@pytest.mark.parametrize("event", AlertEvent)
def test_every_event_is_a_mail(mail, server, event):
    mail.deliver(to_ana(one_of_each()[event]), None)
    assert server.mails[0]["Subject"].startswith("[shop] ")


def test_a_run_is_one_mail_and_another_one_at_its_end_if_there_is_more(mail, server):
    one = a_card(a_failure())
    told = mail.deliver(to_ana(one), None)
    assert mail.deliver(replace(to_ana(over(one)), receipt=told), None) == told
    assert len(server.mails) == 1
    names = [f"m{number}" for number in range(7)]
    more = a_card(*(a_failure(node_id=name, name=name) for name in names))
    assert mail.deliver(replace(to_ana(more), receipt=told), None) == told  # not over yet
    mail.deliver(replace(to_ana(over(more)), receipt=told), None)
    first, last = server.mails
    assert "7 failures" in last["Subject"]
    assert "500 upstream failed" in last.get_content()
    assert last["In-Reply-To"] == first["Message-ID"]
    assert last["Message-ID"] != first["Message-ID"]


def test_what_is_tried_twice_is_the_same_mail(mail, server):
    mail.deliver(to_ana(a_failure()), None)
    mail.deliver(to_ana(a_failure(), unsure=True, tries=1), None)
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]


def test_what_belongs_to_a_run_is_in_its_thread(mail, server):
    card = to_ana(a_card(a_failure()))
    mail.deliver(card, None)
    alert = one_of_each()[AlertEvent.RECOVERED]
    mail.deliver(to_ana(alert, thread=card.entry.key), card)
    assert server.mails[1]["References"] == server.mails[0]["Message-ID"]


def test_names_cannot_add_headers(mail, server):
    mail.deliver(to_ana(a_failure(name="x\r\nBcc: evil@example.com")), None)
    assert server.mails[0]["Bcc"] is None
    assert server.receivers == ["ana@example.com", "data@example.com"]


@pytest.mark.parametrize(
    ("says", "said", "hopeless"),
    [
        ({"RCPT": "550 no such user"}, "550 no such user", True),
        ({"RCPT": "451 try later"}, "451 try later", False),
        ({"MAIL": "552 quota"}, "552 quota", True),
        ({"DATA": "421 going down"}, "421 going down", False),
    ],
)
def test_what_a_server_refuses(mail, server, says, said, hopeless):
    server.says = says
    error = refused(mail)
    assert f"the mail server answers {said}" in str(error)
    assert error.hopeless == hopeless


def test_a_server_that_hangs_up(mail, server):
    server.says = {"MAIL": ""}
    assert not refused(mail).hopeless


def test_a_server_that_says_nothing(server):
    server.hangs.clear()
    mail = email.Mail("127.0.0.1", server.port, sender="a@example.com", timeout=0.3)
    error = refused(mail)
    server.hangs.set()
    assert "the mail server did not answer in time" in str(error)
    assert error.unsure


def test_a_server_without_tls_is_told_no_secret(server):
    mail = email.Mail(
        "127.0.0.1", server.port, sender="a@example.com", tls="starttls", timeout=PATIENCE
    )
    error = refused(mail)
    assert "cannot do what alerts.email asks for" in str(error)
    assert error.hopeless


def test_a_server_out_of_reach():
    mail = email.Mail("127.0.0.1", 1, sender="a@example.com", timeout=1.0)
    error = refused(mail)
    assert "127.0.0.1:1 is not reached" in str(error)
    assert (error.hopeless, error.unsure) == (False, False)


@pytest.mark.parametrize("address", ["not an address", "a@b..c", "a@.x.y", "a@b.c.", "a@", "@b"])
def test_what_is_no_address(mail, address):
    error = refused(mail, address)
    assert "no mail address" in str(error)
    assert error.hopeless


def test_a_server_that_trickles_has_no_more_time_than_any_other():
    with trickling(b"220-") as (host, port):
        error = refused(email.Mail(host, port, sender="a@example.com", timeout=0.3))
    assert "the mail server did not answer in time" in str(error)


@pytest.mark.parametrize("bye", ["421 too busy for manners", ""])
def test_a_mail_that_was_taken_is_not_sent_again(mail, server, bye):
    server.says = {"QUIT": bye}
    mail.deliver(to_ana(a_failure()), None)
    assert len(server.mails) == 1


def test_who_was_refused_among_others_is_said(mail, server, caplog):
    server.refuses = "data@example.com"
    receipt = mail.deliver(to_ana(a_failure()), None)
    assert receipt["refused"] == {"data@example.com": "the mail server answers 550 no such user"}
    assert "nobody told data@example.com: the mail server answers 550" in caplog.text
    assert server.receivers == ["ana@example.com"]


def test_what_mail_needs():
    with pytest.raises(NotifierError, match=r"alerts\.email needs from"):
        email.open({"host": "127.0.0.1"})
