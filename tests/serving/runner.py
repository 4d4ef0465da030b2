"""Does the runs of a server's children, each in a thread, over connections that stay open."""

import json
import queue
import socketserver
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from dbtorch.ports import TickLost
from tests.serving.run import execute

#: What a server is told to start.
PROGRAM = (sys.executable, "-I", "-S", str(Path(__file__).with_name("client.py")))


class _Runner(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 512


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        asked = json.loads(self.rfile.readline())
        store = self.server.stores.get()
        try:
            for said in execute(store, asked["words"], asked["token"]):
                self.wfile.write(json.dumps(said).encode() + b"\n")
            self.wfile.write(b"exit 0\n")
        except TickLost as error:
            self.wfile.write(f"Error: {error}\nexit 2\n".encode())
        finally:
            self.server.stores.put(store)


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
