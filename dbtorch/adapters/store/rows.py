"""Records as rows and back. Times are text that sorts, JSON is text that is readable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, wraps
from operator import attrgetter, itemgetter
from typing import Any, Concatenate, ParamSpec, TypeVar

from dbtorch.adapters.store.database import DamagedError, Row
from dbtorch.core.history.records import (
    Action,
    AttemptRecord,
    Lease,
    NodeRecord,
    RunChanges,
    RunRecord,
    RunSummary,
    Transition,
)
from dbtorch.core.model.dbt_warnings import warnings_from_json
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.reason import NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.core.text.json_text import expressible

R = TypeVar("R")
E = TypeVar("E", bound=StrEnum)
P = ParamSpec("P")

#: What goes wrong with a cell that holds something else than was written there.
_WRONG = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)

#: Seconds that no run has taken.
_LONGEST = 1e11

#: Types of fields that the database does not see to.
_TYPES: Mapping[str, type] = {"str": str, "int": int, "Mapping[str, Any]": dict}


def table(
    name: str,
) -> Callable[[Callable[Concatenate[Row, P], R]], Callable[Concatenate[Row, P], R]]:
    """For what makes a record of a row of a table; `DamagedError` says which row holds what."""

    def reads(make: Callable[Concatenate[Row, P], R]) -> Callable[Concatenate[Row, P], R]:
        @wraps(make)
        def checked(row: Row, /, *args: P.args, **kwargs: P.kwargs) -> R:
            try:
                record = make(row, *args, **kwargs)
                _check(record)
            except _WRONG as error:
                ids = ("run_id", "node_id", "number", "ordinal", "name", "message_key")
                keys = [key for key in ids if key in row.keys()]  # noqa: SIM118 (no mapping)
                which = ", ".join(f"{key} {str(row[key])[:100]}" for key in keys)
                why = " ".join(str(error).split())[:200]
                raise DamagedError(f"table {name}, {which}: {why}") from error
            return record

        return checked

    return reads


@contextmanager
def reading(name: str) -> Iterator[None]:
    """For what reads single cells of a table. Raises `DamagedError`."""
    try:
        yield
    except _WRONG as error:
        raise DamagedError(f"table {name}: {' '.join(str(error).split())[:200]}") from error


def _check(record: Any) -> None:
    """Raise `TypeError` for a text or number that is none: SQLite keeps anything anywhere."""
    names, types, values = _typed(record.__class__)
    found = values(record)
    if tuple(map(type, found)) == types:  # as nearly all are
        return
    for name, of, value in zip(names, types, found, strict=True):
        if not isinstance(value, Mapping if of is dict else of):
            raise TypeError(f"{name} is {value!r:.50}")


@cache
def _typed(record: type) -> tuple[tuple[str, ...], tuple[type, ...], Callable[[Any], Any]]:
    """Fields that are looked at, what they must be, and how they are read of a record."""
    of = fields(record) if is_dataclass(record) else ()
    found = {f.name: _TYPES[str(f.type)] for f in of if str(f.type) in _TYPES}
    names = tuple(found)
    if len(names) < 2:
        return names, tuple(found.values()), lambda one: tuple(getattr(one, n) for n in names)
    return names, tuple(found.values()), attrgetter(*names)


class _ByValue(dict[str, E]):
    """Members of an enum by their values: looking one up is a good deal faster than making it."""

    def __init__(self, enum: type[E]) -> None:
        super().__init__({str(one.value): one for one in enum})
        self._enum = enum

    def __missing__(self, value: str) -> E:
        return self._enum(value)  # which says what is wrong with it


_KINDS, _STATES, _CLASSES = _ByValue(Kind), _ByValue(State), _ByValue(FailureClass)
_REASON_KINDS = {kind.value for kind in ReasonKind if kind is not ReasonKind.NONE}

#: json.dumps would make one each time.
_JSON = json.JSONEncoder(default=str, allow_nan=False)


def moment(at: datetime | None) -> str | None:
    """A time as ISO-8601 in UTC, always with microseconds, so that text order is time order."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def clean(text: str) -> str:
    """Text that both databases take: without NUL and without half characters."""
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
    return whole.replace("\0", "\ufffd")


def dumped(value: Any) -> str:
    """Any value as JSON: what it does not know becomes text, what it cannot express is null."""
    try:
        return _JSON.encode(value)
    except (ValueError, RecursionError):
        return _JSON.encode(expressible(value))


def run_values(run: RunRecord) -> dict[str, Any]:
    """Parameters for the row of a run."""
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "project": run.project,
        "target": run.target,
        "logical_date": moment(run.logical_date),
        "data_interval_start": moment(run.data_interval_start) or "",
        "data_interval_end": moment(run.data_interval_end),
        "state": run.state.value,
        "started_at": moment(run.started_at),
        "finished_at": moment(run.finished_at),
        "resumed_at": moment(run.resumed_at),
        "seconds_before": run.seconds_before,
        "run_type": run.trigger,
        "partial": int(run.partial),
        "command": dumped(run.command),
        "dbt_args": dumped(run.dbt_args),
        "dbtorch_version": run.dbtorch_version,
        "dbt_version": run.dbt_version,
        "adapter": run.adapter,
        "manifest_hash": run.manifest_hash,
        "git_commit": run.git_commit,
        "git_dirty": None if run.git_dirty is None else int(run.git_dirty),
        "host": run.host,
        "pid": run.pid,
        "edges": dumped(run.edges),
        "options": dumped(run.options),
        "place": run.place,
    }


def node_values(run_id: str, ordinal: int, node: Node) -> dict[str, Any]:
    """Parameters for the row of a node, its state left out."""
    return {
        "run_id": run_id,
        "node_id": node.id,
        "ordinal": ordinal,
        "kind": node.kind.value,
        "name": clean(node.name),
        "path": clean(node.path),
        "materialized": clean(node.materialized),
        "owner": clean(node.owner),
        "runbook": clean(node.runbook),
        "node_group": clean(node.group),
        "checksum": node.checksum,
    }


def reason_values(reason: Reason) -> dict[str, Any]:
    """Parameters for why a node is in its state; a text that is the sentence is kept once."""
    sentence, text = clean(str(reason)), clean(reason.text)
    return {
        "reason": sentence,
        "reason_kind": reason.kind.value,
        "reason_nodes": dumped(reason.nodes),
        "reason_text": None if text == sentence else text,
    }


def _reason(row: Row) -> Reason:
    """Why a node is in its state; a store of before version 10 has a sentence alone."""
    sentence = row["reason"]
    try:
        kind, nodes, text = row["reason_kind"], row["reason_nodes"], row["reason_text"]
    except LookupError:
        kind = ""
    if kind in _REASON_KINDS:
        return Reason(ReasonKind(kind), _words(nodes), sentence if text is None else text)
    return Reason(ReasonKind.OTHER, text=sentence) if sentence else NO_REASON


def lease_values(lease: Lease) -> dict[str, Any]:
    """Parameters for the row of a lease."""
    return {
        "name": lease.name,
        "run_id": lease.run_id,
        "host": lease.host,
        "pid": lease.pid,
        "process": lease.process,
        "acquired_at": moment(lease.acquired_at),
        "expires_at": moment(lease.expires_at),
    }


def action_values(run_id: str, action: Action) -> dict[str, Any]:
    """Parameters for the row of an action, its ordinal left out."""
    return {
        "run_id": run_id,
        "at": moment(action.at),
        "actor": clean(action.actor),
        "action": action.action,
        "node_id": action.node_id,
        "state": action.state,
        "reason": clean(action.reason),
        "handled_at": moment(action.handled_at),
    }


@table("dbtorch_runs")
def run_record(
    row: Row,
    nodes: Iterable[NodeRecord],
    moves: Iterable[Transition],
    actions: Iterable[Action] = (),
) -> RunRecord:
    """A run from its row, with its nodes, transitions and actions."""
    return RunRecord(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        project=row["project"],
        target=row["target"],
        logical_date=time(row["logical_date"]),
        data_interval_start=maybe(row["data_interval_start"]),
        data_interval_end=time(row["data_interval_end"]),
        state=RunState(row["state"]),
        started_at=time(row["started_at"]),
        finished_at=maybe(row["finished_at"]),
        resumed_at=maybe(row["resumed_at"]),
        seconds_before=_seconds(row["seconds_before"]),
        trigger=row["run_type"],
        partial=bool(row["partial"]),
        partition=of_newer(row, "partition_key", ""),
        command=_words(row["command"]),
        dbt_args=_words(row["dbt_args"]),
        dbtorch_version=row["dbtorch_version"],
        dbt_version=row["dbt_version"],
        adapter=row["adapter"],
        manifest_hash=row["manifest_hash"],
        git_commit=row["git_commit"],
        git_dirty=None if row["git_dirty"] is None else bool(row["git_dirty"]),
        host=row["host"],
        pid=row["pid"],
        edges=tuple(map(_edge, json.loads(row["edges"]))),
        options=json.loads(row["options"]),
        dbt_warnings=warnings_from_json(json.loads(of_newer(row, "dbt_warnings", "[]"))),
        place=row["place"],
        nodes=tuple(nodes),
        transitions=tuple(moves),
        actions=tuple(actions),
    )


_OF_NODE = itemgetter(
    *("node_id", "kind", "name", "state", "path", "materialized", "owner", "runbook"),
    *("node_group", "updated_at", "retry_at", "checksum"),
)


@table("dbtorch_run_nodes")
def node_record(row: Row, attempts: Iterable[AttemptRecord]) -> NodeRecord:
    """A node from its row, with its attempts."""
    id, kind, name, state, path, how, owner, runbook, group, at, retry, checksum = _OF_NODE(row)
    return NodeRecord(
        id=id,
        kind=_KINDS[kind],
        name=name,
        state=_STATES[state],
        reason=_reason(row),
        path=path,
        materialized=how,
        owner=owner,
        runbook=runbook,
        group=group,
        updated_at=maybe(at),
        retry_at=maybe(retry),
        attempts=tuple(attempts),
        checksum=checksum,
    )


_OF_ATTEMPT = itemgetter(
    *("number", "state", "queued_at", "started_at", "finished_at", "failure_class", "message"),
    *("rows_affected", "output", "details", "lost"),
)


@table("dbtorch_attempts")
def attempt_record(row: Row) -> AttemptRecord:
    """An attempt from its row."""
    number, state, queued, start, end, failed, message, found, output, details, lost = _OF_ATTEMPT(
        row
    )
    return AttemptRecord(
        number=number,
        state=_STATES[state],
        queued_at=time(queued),
        started_at=maybe(start),
        finished_at=maybe(end),
        failure_class=None if failed is None else _CLASSES[failed],
        message=message,
        rows_affected=found,
        output=_value(output),
        details=_value(details),
        lost=bool(lost),
    )


def attempt_of(row: Row) -> tuple[str, AttemptRecord]:
    """A node's id, and an attempt at it."""
    return row["node_id"], attempt_record(row)


@table("dbtorch_transitions")
def transition(row: Row) -> Transition:
    """A transition from its row."""
    return Transition(
        node_id=row["node_id"],
        attempt=row["attempt"],
        before=_STATES[row["before"]],
        state=_STATES[row["state"]],
        at=time(row["at"]),
        reason=_reason(row),
    )


@table("dbtorch_actions")
def action(row: Row) -> Action:
    """An action from its row."""
    return Action(
        action=row["action"],
        at=time(row["at"]),
        actor=row["actor"],
        node_id=row["node_id"],
        state=row["state"],
        reason=row["reason"],
        ordinal=row["ordinal"],
        handled_at=maybe(row["handled_at"]),
    )


@table("dbtorch_runs")
def summary(row: Row, counts: Mapping[State, int]) -> RunSummary:
    """A line of the list of runs from its row."""
    return RunSummary(
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        target=row["target"],
        logical_date=time(row["logical_date"]),
        state=RunState(row["state"]),
        started_at=time(row["started_at"]),
        finished_at=maybe(row["finished_at"]),
        counts=counts,
        trigger=row["run_type"],
        partial=bool(row["partial"]),
        resumed_at=maybe(row["resumed_at"]),
        seconds_before=_seconds(row["seconds_before"]),
    )


@table("dbtorch_runs")
def run_changes(row: Row, nodes: Sequence[NodeRecord]) -> RunChanges:
    """What has changed in a run, from what is small of its row."""
    return RunChanges(
        sequence=row["sequence"],
        state=RunState(row["state"]),
        finished_at=maybe(row["finished_at"]),
        resumed_at=maybe(row["resumed_at"]),
        nodes=tuple(nodes),
    )


@table("dbtorch_runs")
def interval(row: Row) -> Interval:
    """What a run stood for from its row."""
    return Interval(maybe(row["data_interval_start"]), time(row["data_interval_end"]))


@table("dbtorch_leases")
def lease(row: Row) -> Lease:
    """A lease from its row."""
    return Lease(
        name=row["name"],
        run_id=row["run_id"],
        host=row["host"],
        pid=row["pid"],
        process=row["process"],
        acquired_at=time(row["acquired_at"]),
        expires_at=time(row["expires_at"]),
    )


def _value(text: str) -> Any:
    """A value from its JSON; most of them are nothing."""
    return None if text == "null" else {} if text == "{}" else json.loads(text)


def _words(text: str) -> tuple[str, ...]:
    words = json.loads(text)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"{text!r:.50} is no list of words")
    return tuple(words)


def _edge(ends: Any) -> tuple[str, str]:
    before, after = ends
    if not isinstance(before, str) or not isinstance(after, str):
        raise TypeError(f"{ends!r:.50} is no edge")
    return before, after


def time(text: str) -> datetime:
    """A time from its text. Raises `ValueError`."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} is of no zone")
    return at


def of_newer(row: Row, name: str, default: str) -> str:
    """A column that a history of an older dbtorch does not have."""
    return row[name] if name in row.keys() else default  # noqa: SIM118 (no mapping)


def _seconds(value: float) -> float:
    seconds = float(value)
    if not 0 <= seconds < _LONGEST:
        raise ValueError(f"seconds are {seconds:.50}")
    return seconds


def maybe(text: str | None) -> datetime | None:
    """A time from its text, where there is one. Raises `ValueError`."""
    return time(text) if text else None
