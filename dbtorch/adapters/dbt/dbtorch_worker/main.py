"""Where a worker begins."""

from __future__ import annotations

import gc
import sys

from .channel import Channel, leave
from .results import failure
from .seams import check_seams
from .session import Session
from .task import install


def main(fd: int) -> None:
    """Open a session on the socket with this file descriptor and serve it until told to stop."""
    channel = Channel(fd)
    channel.listen()
    try:
        gc.disable()  # nothing of what an import makes is garbage, and looking costs a tenth of it
        from dbt.cli.main import dbtRunner

        gc.freeze()
        gc.enable()
        for warning in check_seams():
            channel.send("warning", message=warning)
        session = Session(channel, channel.incoming.get())
        install(session)
    except Exception as error:
        answer = failure(error)
        if isinstance(error, ModuleNotFoundError) and f"{error.name}.".startswith("dbt."):
            answer["message"] = (
                f"{sys.executable} has no dbt-core; install it there, or let engine.python name "
                "the interpreter that has it"
            )
        channel.send("failed", **answer)
        leave(1)
    result = dbtRunner().invoke(["build", *session.request["args"]])
    if result.exception is not None:
        channel.send("failed", **failure(result.exception))
    else:
        channel.send("closed")
    leave(0)
