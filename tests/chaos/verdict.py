"""What must be so after a disturbed run, whatever happened. Pure: everything wrong, a sentence each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from dbtorch.core.history.records import NodeRecord, RunRecord, Transition
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from tests.chaos.lane import Built
from tests.parity.compare import STATES, warehouse_differences

#: Run anew with every execution of a run.
_EVERY_TIME = (Kind.SESSION, Kind.OPERATION, Kind.SOURCE)  # sources are checked anew

_FINAL = {state for state in State if state.final}
_ENDS = {State.SUCCESS, State.WARN, State.FAILED, State.SKIPPED, State.CANCELLED}

#: From which state a node may go to which. Final ones are left only when a run is resumed.
LEGAL: Mapping[State, set[State]] = {
    State.PENDING: {
        *(State.QUEUED, State.UPSTREAM_FAILED, State.SKIPPED, State.CANCELLED, State.REMOVED)
    },
    State.QUEUED: {State.RUNNING, State.UP_FOR_RETRY, State.PENDING, *_ENDS},
    State.RUNNING: {State.UP_FOR_RETRY, State.PENDING, *_ENDS},
    State.UP_FOR_RETRY: {State.QUEUED, State.PENDING, *_ENDS},
    **{state: {State.PENDING, State.REMOVED} for state in _FINAL},
}

#: The same for hooks, which dbt starts by itself, and reports when they have ended.
_OF_HOOKS: Mapping[State, set[State]] = {
    **LEGAL,
    State.PENDING: LEGAL[State.PENDING] | {State.RUNNING} | _ENDS,
}


def deviations(expected: Built, found: Built) -> list[str]:
    """Everything in which a disturbed build differs from an undisturbed one, or from itself."""
    return [
        *warehouse_differences(expected.relations, found.relations),
        *_exports(expected, found),
        *_nodes(expected.record, found.record),
        *ledger_problems(found.record),
        *_artifact_problems(found),
        *_witnesses(found),
    ]


def ledger_problems(record: RunRecord) -> list[str]:
    """Everything a record of a run that is over says against itself."""
    moves: dict[str, list[Transition]] = defaultdict(list)
    for move in record.transitions:
        moves[move.node_id].append(move)
    problems = []
    if record.state is RunState.RUNNING or record.finished_at is None:
        problems.append(f"the run is {record.state}, finished {record.finished_at}")
    for node in record.nodes:
        problems += [f"{node.id}: {text}" for text in _node_problems(node, moves[node.id])]
    bad = [node.id for node in record.nodes if not (node.state.ok or node.state is State.SKIPPED)]
    if record.state is RunState.SUCCESS and bad:
        problems.append(f"the run is a success, and did not build {bad}")
    return problems


def _node_problems(node: NodeRecord, moves: list[Transition]) -> Iterator[str]:
    if not node.state.final:
        yield f"still {node.state} although the run is over"
    hook = node.kind is Kind.OPERATION
    legal = _OF_HOOKS if hook else LEGAL
    state = State.PENDING
    succeeded = False
    for move in moves:
        if move.before is not state:
            yield f"went from {move.before} to {move.state}, but was {state}"
        if move.state not in legal[move.before]:
            yield f"went from {move.before} to {move.state}"
        if succeeded and move.state.active and node.kind not in _EVERY_TIME:
            yield f"{move.state} again after its success"
        succeeded = succeeded or move.state.ok
        state = move.state
    if moves and state is not node.state:
        yield f"is {node.state}, its last transition says {state}"
    if not hook:
        yield from _attempt_problems(node)


def _attempt_problems(node: NodeRecord) -> Iterator[str]:
    numbers = [attempt.number for attempt in node.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"has attempts {numbers}"
    for attempt in node.attempts:
        if not attempt.state.final or attempt.finished_at is None:
            yield f"attempt {attempt.number} is still {attempt.state}"
    good = [attempt.number for attempt in node.attempts if attempt.state.ok]
    if node.kind not in _EVERY_TIME and len(good) > 1:
        yield f"succeeded in attempts {good}"
    if node.state.ok and numbers and (not good or good[-1] != numbers[-1]):
        yield f"is {node.state}, its attempts are {[a.state.value for a in node.attempts]}"
    if node.state.ok and not numbers:
        yield f"is {node.state} and was never tried"


def _nodes(expected: RunRecord, found: RunRecord) -> Iterator[str]:
    wanted, there = _states(expected), _states(found)
    yield from (f"{id}: lost" for id in sorted(wanted.keys() - there.keys()))
    yield from (f"{id}: nobody asked for it" for id in sorted(there.keys() - wanted.keys()))
    for id in sorted(wanted.keys() & there.keys()):
        if wanted[id] is not there[id]:
            yield f"{id}: {there[id]}, undisturbed it is {wanted[id]}"


def _states(record: RunRecord) -> dict[str, State]:
    return {node.id: node.state for node in record.nodes}


def _exports(expected: Built, found: Built) -> Iterator[str]:
    if found.exports != expected.exports:
        yield f"the exported files are {len(found.exports)}, or say something else"


def _artifact_problems(found: Built) -> Iterator[str]:
    """Green in the ledger is green in dbt's artifact, and the other way round."""
    states = _states(found.record)
    for node in found.record.nodes:
        listed = node.id in found.statuses
        none = (Kind.STEP, Kind.SESSION, Kind.SOURCE, Kind.CHECK)
        dbts = node.kind not in none and node.materialized != "ephemeral"
        if dbts and not listed:
            yield f"{node.id}: missing in run_results.json"
    for id, status in sorted(found.statuses.items()):
        if id in states and states[id].value not in STATES[status]:
            yield f"{id}: {states[id]}, run_results.json says {status}"


def _witnesses(found: Built) -> Iterator[str]:
    """Each attempt that was executed has left a log: none may be unknown to the ledger."""
    known = {
        (_file(node.id), attempt.number) for node in found.record.nodes for attempt in node.attempts
    }
    if known and not found.logs:
        yield "no attempt has left a log"
    for name, number in sorted(found.logs):
        if (name, number) not in known and len(name) <= 150:
            yield f"{name}: attempt {number} has a log and is in no ledger"


def _file(id: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", id)
