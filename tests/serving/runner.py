"""Does the runs of a server's children, each in a thread, over connections that stay open."""

import json
import queue
import socketserver
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from dbtorch.core.errors import TickLost
from tests.serving.run import execute

#: What a server is told to start.
PROGRAM = (sys.executable, "-I", "-S", str(Path(__file__).with_name("client.py")))


class _Runner(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 512


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        token, *words = self.rfile.readline().decode().rstrip("\n").split("\0")
        store = self.server.stores.get()
        try:
            for said in execute(store, words, token):
                self._say(json.dumps(said))
            self._say("exit 0")
        except TickLost as error:
            self._say(f"Error: {error}\nexit 2")
        finally:
            self.server.stores.put(store)

    def _say(self, line):
        with suppress(BrokenPipeError):  # the child was told to end, with its server
            self.wfile.write(line.encode() + b"\n")


@contextmanager
def running(folder, store, connections=8):
    """Answer clients at a socket in a folder; its path is what `RUNNER` has to say."""
    path = str(folder / "runner.sock")
    with _Runner(path, _Handler) as server:
        server.stores = queue.SimpleQueue()
        stores = [store.apart() for _ in range(connections)]
        for one in stores:
            server.stores.put(one)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield path
        finally:
            server.shutdown()
            thread.join()
            for one in stores:
                one.close()
