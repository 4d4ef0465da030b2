"""A mail server that keeps what it gets, on the loopback: as much of RFC 5321 as smtplib speaks."""

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage

from tests.waiting import PATIENCE


class Smtp(socketserver.ThreadingTCPServer):
    """``says`` has other answers to a command: ``{"RCPT": "550 no such user"}``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[EmailMessage] = []
        self.receivers: list[str] = []
        self.says: dict[str, str] = {}
        self.refuses = ""  # a receiver
        self.hangs = threading.Event()
        self.hangs.set()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Session(socketserver.StreamRequestHandler):
    server: Smtp

    def handle(self) -> None:
        self.server.hangs.wait(PATIENCE)
        self._say("220 mail.example ESMTP")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper().partition(":")[0]
            if word in self.server.says:
                if not self.server.says[word]:
                    return  # hangs up
                self._say(self.server.says[word])
            elif word == "RCPT" and self.server.refuses and self.server.refuses in line:
                self._say("550 no such user")
            elif word == "DATA":
                self._data()
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                if word == "RCPT":
                    self.server.receivers.append(line.partition("<")[2].partition(">")[0])
                self._say("250 fine")

    def _data(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.server.mails.append(mail)
        self._say("250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[Smtp]:
    """A server, while the block runs."""
    with Smtp() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
