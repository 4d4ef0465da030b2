"""Where a worker begins."""

from __future__ import annotations

import gc
import sys

from .cancel_on_death import end_what_is_left
from .channel import Channel, leave
from .closing import close_connections
from .compatibility import check_compatibility
from .missing_adapter import missing, missing_adapter
from .reported_args import call_it
from .results import failure
from .scrubbing import learn
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
        for warning in check_compatibility():
            channel.send("warning", message=warning)
        session = Session(channel, channel.incoming.get())
        learn(session.request["secrets"])
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
    call_it(session.request["asked"])
    result = dbtRunner().invoke(["build", *session.request["args"]])
    close_connections()  # who is told that it is over may open the file
    if result.exception is not None:
        answer = failure(result.exception)
        adapter = missing_adapter(result.exception)
        if adapter:
            answer["message"] = missing(adapter)
        channel.send("failed", **answer)
    else:
        channel.send("closed")
        if session.request["lingers"]:
            session.linger()
    end_what_is_left()
    leave(0)
