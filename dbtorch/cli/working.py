"""`dbtorch worker`: what works for queues, with its signals and its log."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TextIO

from dbtorch.core.exit_codes import Exit
from dbtorch.schedule.log import Log
from dbtorch.service.project.known_secrets import scrubber_of_environment
from dbtorch.service.project.options import RunOptions
from dbtorch.service.worker.serve import opened_worker

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

#: Seconds between two times that orphans are buried which have ended.
_BURY_EVERY = 1.0


def work(
    options: RunOptions, queues: Sequence[str], at_once: int, stream: TextIO | None = None
) -> int:
    """Work for queues until a signal says to end. Answers the exit code.

    Raises `DbtorchError` where it cannot begin.
    """
    log = Log(stream or sys.stdout, scrubber_of_environment(options.environ))
    events: queue.SimpleQueue[int] = queue.SimpleQueue()

    def heard(signum: int, _: FrameType | None) -> None:
        events.put(signum)

    before = {number: signal.signal(number, heard) for number in _SIGNALS}
    try:
        with opened_worker(options, queues, log.write) as worker:
            log.write("worker_started", worker=worker.name, queues=list(queues), at_once=at_once)

            broken: list[Exception] = []

            def serve() -> None:
                try:
                    worker.serve(at_once)
                except Exception as error:
                    broken.append(error)
                finally:
                    events.put(0)

            threading.Thread(target=serve, name="dbtorch-queue").start()
            signals = 0
            while True:
                try:
                    signum = events.get(timeout=_BURY_EVERY)
                except queue.Empty:
                    worker.bury()
                    continue
                if not signum:
                    break
                signals += 1
                name = signal.Signals(signum).name
                log.write("signal", signal=name, number=signals)
                if signals == 1:
                    worker.stop()
                elif signals == 2:
                    worker.end(f"its worker got a second {name}")
                else:
                    worker.kill()
                    os._exit(128 + signum)
            if broken:  # who starts workers is to know that this one has failed
                raise broken[0]
            log.write("worker_ended", worker=worker.name)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Exit.OK
