"""dbt's own command, with its events told more shortly than ``--log-format json`` does.

The process engine follows a build at dbt's level debug. Written by dbt as JSON that takes an eighth
of the build: each event becomes a message, then a dict of all that the message may hold, then a
text. Here it is told as it is fired, in the same form, with what is read of it. What dbt does for
each node with detours is done without them, as in a session (`patches.py`).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import runpy
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .cancel_on_death import adopt_orphans, end_what_is_left
from .channel import leave
from .events import CHATTER, hear
from .microbatches import follow_batches, told_window
from .patches import LATE_MESSAGES, apply_patches
from .run_start import keep_the_beginning
from .scrubbing import learn_of_vars, scrub_all

#: Events that say more than a text, and what of it is told.
_DATA = {
    "NodeStart": (),
    "LogStartLine": (),
    "LogHookStartLine": (),
    "LogBatchResult": (),
    "LogHookEndLine": ("status", "execution_time"),
    "NodeFinished": ("run_result",),
}
_OF_NODES = ("unique_id", "node_status", "node_started_at", "node_finished_at")
_OF_RESULTS = ("status", "message", "num_failures", "adapter_response")


def main(patches: bool = True) -> None:
    """Run the command in ``sys.argv``: dbt's script, and its words."""
    del sys.argv[0]  # "-c"
    try:
        learn_of_vars(sys.argv)
        _prepare(sys.argv[1:], patches=patches)
        runpy.run_path(sys.argv[0], run_name="__main__")
    except KeyboardInterrupt:
        end_what_is_left()
        leave(1)  # as dbt ends that is interrupted
    except SystemExit as end:
        end_what_is_left()
        leave(end.code if isinstance(end.code, int) else int(end.code is not None))


def _prepare(words: list[str], *, patches: bool) -> None:
    """Import dbt, and let it tell.

    Nothing of that depends on the nodes that a state chooses: one that is a pipe yet is waited for.
    """
    gc.disable()  # nothing of what an import makes is garbage, and looking costs a tenth of it
    import dbt.cli.main

    if words[:1] == ["build"]:
        import dbt.task.build  # noqa: F401 (it will be needed)
    gc.freeze()
    gc.enable()
    adopt_orphans()
    teller = EventPrinter()
    try:
        if not patches or LATE_MESSAGES not in apply_patches():
            _keep_what_is_given()
        hear(teller.tell)
    except ImportError:  # it has its events elsewhere, and no JSON log of every command
        print("dbtorch needs dbt-core 1.8 or newer, and this one is older", file=sys.stderr)
        leave(1)
    follow = functools.partial(follow_batches, teller.plan, teller.built)
    for change in (keep_the_beginning, follow):
        with contextlib.suppress(ImportError, AttributeError, TypeError):  # it is made otherwise
            change()
    pipe = _pipe(words)
    if pipe is not None:
        pipe.read_bytes()


def _keep_what_is_given() -> None:
    """Let an event remember what it was made of."""
    from dbt_common.events.base_types import BaseEvent

    build = BaseEvent.__init__

    def keep(event: Any, *args: Any, **kwargs: Any) -> None:
        object.__setattr__(event, "_given", (args, kwargs))
        build(event, *args, **kwargs)

    BaseEvent.__init__ = keep


class EventPrinter:
    """Tells events on standard output, one a line."""

    def __init__(self) -> None:
        self._output = sys.stdout.buffer
        self._lock = threading.Lock()

    def tell(self, event: Any, level: str) -> None:
        """Tell an event, if anybody reads it. Nobody who does is no reason to fail."""
        name = type(event).__name__
        node = _node_of(event)
        if name in _DATA:
            line = _told(name, level, event, node)
        elif (name in CHATTER or not node) and level in ("debug", "test"):
            return
        else:
            about = {"node_info": {"unique_id": node.get("unique_id") or ""}}
            line = {"info": {"name": name, "level": level, "msg": event.message()}, "data": about}
        self._write(line)

    def plan(self, runner: Any, plan: Callable[[], dict[int, Any]]) -> dict[int, Any]:
        """Tell which batches of a model are about to be built."""
        batches = plan()
        windows = [told_window(batches[place]) for place in sorted(batches)]
        self._of_batches("MicrobatchesPlanned", runner.node, windows=windows)
        return batches

    def built(self, node: Any, window: Any) -> None:
        """Tell that one of them is in the warehouse."""
        self._of_batches("MicrobatchBuilt", node, window=told_window(window))

    def _of_batches(self, name: str, node: Any, **data: Any) -> None:
        data["node_info"] = {"unique_id": node.unique_id}
        self._write({"info": {"name": name, "level": "debug", "msg": ""}, "data": data})

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(scrub_all(line), default=str)
        with contextlib.suppress(OSError, ValueError), self._lock:
            self._output.write(text.encode() + b"\n")
            self._output.flush()


def _told(name: str, level: str, event: Any, node: dict[str, Any]) -> dict[str, Any]:
    given = _given(event)
    data = {key: given.get(key) for key in _DATA[name]}
    if "run_result" in data:
        result = data["run_result"] or {}
        data["run_result"] = {key: result[key] for key in _OF_RESULTS if key in result}
    text = "" if name in CHATTER else event.message()
    now = datetime.now(timezone.utc).isoformat()
    return {
        "info": {"name": name, "level": level, "msg": text, "ts": now},
        "data": {"node_info": {key: node.get(key) for key in _OF_NODES}, **data},
    }


def _node_of(event: Any) -> dict[str, Any]:
    """What an event says of the node it is about, or of the one it was fired for."""
    from dbt_common.events.contextvars import get_node_info

    said = _given(event).get("node_info") or get_node_info()
    return said if isinstance(said, dict) else {}


def _given(event: Any) -> dict[str, Any]:
    """What an event was made of; dbt names everything."""
    given: dict[str, Any] = object.__getattribute__(event, "_given")[1]
    return given


def _pipe(words: list[str]) -> Path | None:
    """The run_results.json of the state, if it is a named pipe."""
    if "--state" not in words[:-1]:
        return None
    path = Path(words[words.index("--state") + 1], "run_results.json")
    return path if path.is_fifo() else None
