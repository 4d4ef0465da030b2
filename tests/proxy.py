"""Stands between a client and a server, and can stop to hand anything on."""

import socket
import threading
from contextlib import contextmanager, suppress


class Proxy:
    """Hands bytes on until it hangs; connections stay open then, and nobody is told."""

    def __init__(self, host, port, at=0):
        self._there = (host, port)
        self._hangs = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", at))
        self._open = []
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self):
        """From now on nothing comes through."""
        self._hangs.set()

    def close(self):
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._there)
                self._open += [client, server]
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source, target):
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                if self._hangs.is_set():
                    return
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(host, port):
    """A proxy to a server, while it is open."""
    one = Proxy(host, port)
    try:
        yield one
    finally:
        one.close()
