"""From what somebody typed to a run or a node, and whether a run still lives."""

from __future__ import annotations

from collections.abc import Callable

from dbtorch.core.errors import NotFound
from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.naming import meant
from dbtorch.core.model.state import RunState
from dbtorch.core.text.nearest import did_you_mean
from dbtorch.ports.store import Store

#: Answers whether somebody still drives a run.
IsAlive = Callable[[RunRecord], bool]

#: What a run is called that nobody drives any more and that never ended.
INTERRUPTED = "interrupted"

_LISTED = 5


def resolve_run(store: Store, text: str) -> str:
    """The id of a run: "latest", a full id, or the beginning of one. Raises `NotFound`."""
    _not_blank(text, 'the RUN is empty: write "latest", an id or its beginning')
    found = store.find(text)
    if text in found or (text == "latest" and found):
        return found[0] if text == "latest" else text
    if not found:
        if text == "latest":
            raise NotFound("no run of this project is recorded yet; `dbtorch run` makes one")
        raise NotFound(f"there is no run {text!r}; `dbtorch runs` lists them")
    if len(found) > 1:
        listed = ", ".join(found[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
        raise NotFound(f"{text!r} may be one of {len(found)} runs ({listed}); write more of it")
    return found[0]


def _not_blank(text: str, sentence: str) -> None:
    """Everything begins and ends with nothing, which is what a variable is that nobody set."""
    if not text.strip():
        raise NotFound(f"{sentence} (is a variable of the shell not set?)")


def read_run(store: Store, text: str, *, transitions: bool = True) -> RunRecord:
    """The run that somebody means. Raises `NotFound`."""
    run_id = resolve_run(store, text)
    run = store.run(run_id, transitions=transitions)
    if run is None:
        raise NotFound(f"run {run_id} has just been removed; `dbtorch runs` lists what is there")
    return run


def find_node(run: RunRecord, text: str) -> NodeRecord:
    """A node by its unique_id, its name as it is printed, or an end. Raises `NotFound`."""
    _not_blank(text, "the NODE is empty: write its name or its id")
    matches = meant(run.nodes, text)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(node.id for node in matches[:_LISTED])
        more = ", ..." if len(matches) > _LISTED else ""
        raise NotFound(f"{text!r} may be {listed}{more}; write the whole id")
    raise NotFound(f"run {run.run_id} has no node {text!r}{_nearest(run, text)}")


def state_of(run: RunRecord, is_alive: IsAlive) -> str:
    """The state to show: nothing that nobody drives is running."""
    if run.state is RunState.RUNNING and not is_alive(run):
        return INTERRUPTED
    return run.state.value


def without_running(run: RunRecord) -> RunRecord:
    """An interrupted run as it is: nothing of it is running any more."""
    from dbtorch.app.abandoned import as_it_is  # few runs are

    return as_it_is(run)


def is_driven(store: Store, run_id: str) -> bool:
    """Whether a run still has its lease, and the process that took it is there."""
    return store.driver(run_id) is not None


def holds_lease(store: Store) -> IsAlive:
    """The same of a record."""
    return lambda run: is_driven(store, run.run_id)


def _nearest(run: RunRecord, text: str) -> str:
    names = [*{node.name: None for node in run.nodes if node.kind is not Kind.SESSION}]
    for known in (names, [node.id for node in run.nodes]):
        if near := did_you_mean(text, known, most=3, quote=""):
            return near
    return f"; `dbtorch show {run.run_id} --all` lists its nodes"
