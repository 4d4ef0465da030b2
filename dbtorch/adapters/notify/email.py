"""Mail by SMTP: when a run begins to fail, and at its end if there is more to say."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Any

from dbtorch.adapters.notify.base import NotifierError
from dbtorch.adapters.notify.digest import told_of, worth_telling
from dbtorch.adapters.notify.mail_text import card_mail, note_mail
from dbtorch.core.alerts import from_json
from dbtorch.core.outbox import Delivery, EntryKind, Style
from dbtorch.core.run_card import card_from_json
from dbtorch.ports import NotDelivered, Notifier

#: Seconds that one answer of the server may take, where nothing else is said.
TIMEOUT = 10.0

_PORTS = {"tls": 465, "starttls": 587, "none": 25}
_LONGEST_SUBJECT = 200

#: A folded subject may begin with a blank. RFC 5322 allows 998 characters a line.
_ONE_LINE = SMTP.clone(max_line_length=998)


def place(settings: Mapping[str, Any]) -> str:
    """Who gets what no owner claims."""
    to = settings.get("to", ())
    return to if isinstance(to, str) else ", ".join(to)


def open(settings: Mapping[str, Any]) -> Notifier:
    """Sends through ``host``."""
    for key in ("host", "from"):
        if not settings.get(key):
            raise NotifierError(f"alerts.email needs {key}")
    tls = str(settings.get("tls", "starttls"))
    return Mail(
        settings["host"],
        int(settings.get("port", _PORTS[tls])),
        sender=settings["from"],
        tls=tls,
        username=settings.get("username", ""),
        password=settings.get("password", ""),
        timeout=settings.get("timeout", TIMEOUT),
    )


def preview(delivery: Delivery) -> str:
    """Subject and text."""
    body = delivery.entry.body
    if delivery.entry.kind is EntryKind.CARD:
        subject, text = card_mail(card_from_json(body["card"]))
    else:
        subject, text = note_mail(from_json(body["alert"]))
    return f"Subject: {subject}\n\n{text}"


class Mail:
    """Implements `Notifier` over SMTP."""

    style = Style.DIGEST

    def __init__(
        self,
        host: str,
        port: int,
        *,
        sender: str,
        tls: str = "none",
        username: str = "",
        password: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        self._host = host
        self._port = port
        self._sender = sender
        self._tls = tls
        self._username = username
        self._password = password
        self._timeout = timeout

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """Send one mail, or none where a card says no more than before.

        Its Message-ID is the same every time it is tried.
        """
        entry = delivery.entry
        if entry.kind is EntryKind.NOTE:
            subject, text = note_mail(from_json(entry.body["alert"]))
            self._send(self._message(delivery, "", subject, text, follows=entry.thread))
            return {"sent": True}
        run = card_from_json(entry.body["card"])
        if not worth_telling(run, delivery.receipt):
            return delivery.receipt
        subject, text = card_mail(run)
        said = str(run.failed) if delivery.receipt else ""
        follows = entry.key if delivery.receipt else ""
        self._send(self._message(delivery, said, subject, text, follows=follows))
        return told_of(run)

    def _message(
        self, delivery: Delivery, part: str, subject: str, text: str, *, follows: str
    ) -> EmailMessage:
        address = delivery.entry.address
        message = EmailMessage(policy=_ONE_LINE)
        try:
            message["From"] = self._sender
            message["To"] = [
                Address(display_name=name, addr_spec=mail)
                for name, mail in getaddresses([address])
                if mail
            ]
            message["Subject"] = " ".join(subject.split())[:_LONGEST_SUBJECT]
        except ValueError as error:
            raise NotDelivered(f"{address} is no mail address: {error}", hopeless=True) from error
        message["Date"] = format_datetime(delivery.updated_at)
        message["Message-ID"] = message_id(f"{delivery.entry.key}/{part}", address)
        if follows:
            message["In-Reply-To"] = message["References"] = message_id(f"{follows}/", address)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage) -> None:
        try:
            with self._connect() as server:
                if self._tls == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self._username:
                    server.login(self._username, self._password)
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refused(code, said) from error
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from error
        except TimeoutError as error:
            raise NotDelivered("the mail server did not answer in time", unsure=True) from error
        except smtplib.SMTPServerDisconnected as error:
            raise NotDelivered(f"the mail server hung up: {error}", unsure=True) from error
        except smtplib.SMTPNotSupportedError as error:
            text = f"the mail server cannot do what alerts.email asks for: {error}"
            raise NotDelivered(text, hopeless=True) from error
        except (OSError, smtplib.SMTPException) as error:
            text = f"the mail server {self._host}:{self._port} is not reached: {error}"
            raise NotDelivered(text) from error

    def _connect(self) -> smtplib.SMTP:
        if self._tls == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=context)
        return smtplib.SMTP(self._host, self._port, timeout=self._timeout)


def message_id(key: str, address: str) -> str:
    """The same for the same message, so that mail programs and servers see it is no other."""
    digest = hashlib.sha256(f"{key}\0{address}".encode()).hexdigest()[:40]
    return f"<{digest}@dbtorch.invalid>"


def _refused(code: int, said: bytes | str) -> NotDelivered:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    first = next(iter(text.splitlines()), "")
    hopeless = 500 <= code < 600
    return NotDelivered(f"the mail server answers {code} {first}".rstrip(), hopeless=hopeless)
