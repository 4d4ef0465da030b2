"""From what somebody typed to a run or a node, and whether a run still lives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dbtorch.adapters.processes import lives
from dbtorch.cli.errors import UsageError
from dbtorch.core.graph import Kind
from dbtorch.core.history import NodeRecord, RunRecord
from dbtorch.core.state import RunState
from dbtorch.ports import Clock, Store

#: Answers whether somebody still drives a run.
IsAlive = Callable[[RunRecord], bool]

#: What a run is called that nobody drives any more and that never ended.
INTERRUPTED = "interrupted"

_LISTED = 5


def resolve_run(store: Store, text: str) -> str:
    """The id of a run: "latest", a full id, or the beginning of one. Raises `UsageError`."""
    found = store.find(text)
    if text in found or (text == "latest" and found):
        return found[0] if text == "latest" else text
    if not found:
        if text == "latest":
            raise UsageError("no run has been recorded yet; `dbtorch run` makes one")
        raise UsageError(f"there is no run {text!r}; `dbtorch runs` lists them")
    if len(found) > 1:
        listed = ", ".join(found[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
        raise UsageError(f"{text!r} may be one of {len(found)} runs ({listed}); write more of it")
    return found[0]


def read_run(store: Store, text: str) -> RunRecord:
    """The run that somebody means. Raises `UsageError`."""
    run_id = resolve_run(store, text)
    run = store.run(run_id)
    if run is None:
        raise UsageError(f"run {run_id} has just been removed; `dbtorch runs` lists what is there")
    return run


def find_node(run: RunRecord, text: str) -> NodeRecord:
    """A node by its unique_id, its name, or an unambiguous end. Raises `UsageError`."""
    for matches in (
        [node for node in run.nodes if node.id == text],
        [node for node in run.nodes if node.name == text],
        [node for node in run.nodes if node.id.endswith(f".{text}")],
        [node for node in run.nodes if node.id.endswith(text)],
    ):
        if len(matches) > 1:  # who names a model means the model, not what checks it
            matches = [node for node in matches if node.kind is not Kind.CHECK] or matches
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = ", ".join(node.id for node in matches[:_LISTED])
            more = ", ..." if len(matches) > _LISTED else ""
            raise UsageError(f"{text!r} may be {listed}{more}; write the whole id")
    raise UsageError(f"run {run.run_id} has no node {text!r}{_nearest(run, text)}")


def state_of(run: RunRecord, is_alive: IsAlive) -> str:
    """The state to show: nothing that nobody drives is running."""
    if run.state is RunState.RUNNING and not is_alive(run):
        return INTERRUPTED
    return run.state.value


def without_running(run: RunRecord) -> RunRecord:
    """An interrupted run as it is: nothing of it is running any more."""
    from dbtorch.app.abandoned import as_it_is  # few runs are

    return as_it_is(run)


def holds_lease(store: Store, clock: Clock) -> IsAlive:
    """Whether a run still has its lease, and the process that took it is there."""

    def is_alive(run: RunRecord) -> bool:
        lease = store.holder(f"{run.project}/{run.pipeline}")
        if lease is None or lease.run_id != run.run_id:
            return False
        return lease.expires_at > clock.now() and lives(lease.host, lease.pid)

    return is_alive


def _nearest(run: RunRecord, text: str) -> str:
    from difflib import get_close_matches

    names: Sequence[str] = [*{node.name: None for node in run.nodes}]
    ids = [node.id for node in run.nodes]
    near = get_close_matches(text, names, n=3) or get_close_matches(text, ids, n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; `dbtorch show {run.run_id} --all` lists its nodes"
