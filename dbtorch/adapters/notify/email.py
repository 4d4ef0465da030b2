"""Mail by SMTP: when a run begins to fail, and at its end if there is more to say."""

from __future__ import annotations

import hashlib
import logging
import smtplib
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Any

from dbtorch.adapters.exchange import Budget
from dbtorch.adapters.notify.base import NotifierError, stays_here
from dbtorch.adapters.notify.digest import told_of, worth_telling
from dbtorch.adapters.notify.mail_text import card_mail, note_mail
from dbtorch.core.alerts.alert import from_json
from dbtorch.core.alerts.card import card_from_json
from dbtorch.core.alerts.outbox import Delivery, EntryKind, Style
from dbtorch.ports.notifier import NotDelivered, Notifier

#: Seconds that sending a mail may take, where nothing else is said; it is a dozen answers.
TIMEOUT = 30.0

log = logging.getLogger(__name__)

#: What Python's reader of addresses raises for some that are none (``a@b..c``, ``a@.b.c``).
_NO_ADDRESS = (ValueError, AttributeError, IndexError, MessageError)

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
    if tls == "none" and settings.get("username") and not stays_here(str(settings["host"])):
        raise NotifierError(
            "alerts.email.tls is none, and the password would go over the network as it is: use"
            " starttls or tls, or leave username and password out"
        )
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
            message = self._message(delivery, "", subject, text, follows=entry.thread)
            return {"sent": True, **self._send(message)}
        run = card_from_json(entry.body["card"])
        if not worth_telling(run, delivery.receipt):
            return delivery.receipt
        subject, text = card_mail(run)
        said = str(run.failed) if delivery.receipt else ""
        follows = entry.key if delivery.receipt else ""
        refused = self._send(self._message(delivery, said, subject, text, follows=follows))
        return {**told_of(run), **refused}

    def _message(
        self, delivery: Delivery, part: str, subject: str, text: str, *, follows: str
    ) -> EmailMessage:
        address = delivery.entry.address
        message = EmailMessage(policy=_ONE_LINE)
        try:
            message["From"] = self._sender
        except _NO_ADDRESS as error:
            text = f"alerts.email.from is no mail address: {self._sender}"
            raise NotDelivered(text, hopeless=True) from error
        try:
            message["To"] = [
                Address(display_name=name, addr_spec=mail)
                for name, mail in getaddresses([address])
                if mail
            ]
            if not message["To"].addresses:
                raise ValueError("nobody is in it")
        except _NO_ADDRESS as error:
            raise NotDelivered(f"{address} is no mail address: {error}", hopeless=True) from error
        message["Subject"] = " ".join(subject.split())[:_LONGEST_SUBJECT]
        message["Date"] = format_datetime(delivery.updated_at)
        message["Message-ID"] = message_id(f"{delivery.entry.key}/{part}", address)
        if follows:
            message["In-Reply-To"] = message["References"] = message_id(f"{follows}/", address)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage) -> Mapping[str, Any]:
        """Send it; answers who was refused, of several.

        Once the server has taken it, nothing that follows is a reason to send it again.
        """
        taken: list[Mapping[str, tuple[int, bytes]]] = []
        try:
            with Budget(self._timeout) as budget, closing(self._connect(budget)) as server:
                if self._tls == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self._username:
                    server.login(self._username, self._password)
                taken.append(server.send_message(message))
                server.quit()
        except (OSError, ValueError, smtplib.SMTPException) as error:
            if not taken:
                raise self._why(error) from error
        refused = {who: str(_refused(*why)) for who, why in taken[0].items()}
        for who, why in refused.items():
            log.warning("nobody told %s: %s", who, why)
        return {"refused": refused} if refused else {}

    def _why(self, error: Exception) -> NotDelivered:
        match error:
            case smtplib.SMTPRecipientsRefused():
                return _refused(*next(iter(error.recipients.values())))
            case smtplib.SMTPResponseException():
                return _refused(error.smtp_code, error.smtp_error)
            case TimeoutError():
                return NotDelivered("the mail server did not answer in time", unsure=True)
            case smtplib.SMTPServerDisconnected():
                return NotDelivered(f"the mail server closed the connection: {error}", unsure=True)
            case smtplib.SMTPNotSupportedError():
                text = f"the mail server cannot do what alerts.email asks for: {error}"
                return NotDelivered(text, hopeless=True)
        where = f"{self._host}:{self._port}"
        return NotDelivered(f"the mail server {where} is not reached: {error}")

    def _connect(self, budget: Budget) -> smtplib.SMTP:
        if self._tls == "tls":
            context = ssl.create_default_context()
            return _WithinTls(budget, self._host, self._port, context=context)
        return _Within(budget, self._host, self._port)


class _Within(smtplib.SMTP):
    """A session over a connection of a budget."""

    def __init__(self, budget: Budget, host: str, port: int, **more: Any) -> None:
        self._budget = budget
        try:
            # smtplib would ask a name server who we are, for as long as that takes
            super().__init__(host, port, local_hostname="localhost", **more)
            self.local_hostname = _own_name(self.sock)
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._budget.connect((host, port))


class _WithinTls(_Within, smtplib.SMTP_SSL):
    """The same, with TLS from the beginning."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = super()._get_socket(host, port, timeout)
        return self.context.wrap_socket(plain, server_hostname=host)


def _own_name(connection: Any) -> str:
    """Who says hello: a full name, or the address."""
    name = socket.gethostname()
    address = str(connection.getsockname()[0])
    literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
    return name if "." in name else literal


def message_id(key: str, address: str) -> str:
    """The same for the same message, so that mail programs and servers see it is no other."""
    digest = hashlib.sha256(f"{key}\0{address}".encode()).hexdigest()[:40]
    return f"<{digest}@dbtorch.invalid>"


def _refused(code: int, said: bytes | str) -> NotDelivered:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    first = next(iter(text.splitlines()), "")
    hopeless = 500 <= code < 600
    return NotDelivered(f"the mail server answers {code} {first}".rstrip(), hopeless=hopeless)
