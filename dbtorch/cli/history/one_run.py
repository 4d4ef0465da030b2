"""`dbtorch show`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from dbtorch.adapters.clock import SystemClock
from dbtorch.cli.errors import OK
from dbtorch.cli.history.lookup import (
    INTERRUPTED,
    IsAlive,
    holds_lease,
    read_run,
    state_of,
    without_running,
)
from dbtorch.cli.history.run_json import run_json
from dbtorch.cli.render.colour import Colours, colours_for
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import (
    ago,
    blamed,
    counted,
    gist,
    local,
    many,
    took,
    without_login,
)
from dbtorch.core.deadline import Deadline, node_deadlines
from dbtorch.core.graph import Kind
from dbtorch.core.history import Action, AttemptRecord, NodeRecord, RunRecord, Verb
from dbtorch.core.measure import Rows, usually
from dbtorch.core.message import tidy
from dbtorch.core.naming import short_name
from dbtorch.core.state import RunState, State
from dbtorch.ports import Clock, Store

#: Runs with more nodes than this show those that did not go well, unless all are asked for.
_LONG = 60

_HEAD = ("NODE", "STATE", "TRIES", "TOOK", "ROWS", "REMARK")
_STATE = _HEAD.index("STATE")
_RIGHT = frozenset({_HEAD.index("TRIES"), _HEAD.index("TOOK"), _HEAD.index("ROWS")})


def show(
    store: Store,
    run: str,
    *,
    format: str = "text",
    all_nodes: bool = False,
    echo: Callable[[str], Any],
    clock: Clock | None = None,
    is_alive: IsAlive | None = None,
    colours: Colours | None = None,
    zone: tzinfo | None = None,
) -> int:
    """Show one run. Answers the exit code; raises `UsageError` for a run that is not there.

    ``clock``, ``colours`` and ``zone`` are this machine's when they are not given.
    """
    clock = clock or SystemClock()
    record = read_run(store, run)
    state = state_of(record, is_alive or holds_lease(store, clock))
    if state == INTERRUPTED:
        record = without_running(record)
    if format == "json":
        echo(json.dumps(run_json(record, state, clock.now(), store.rows(record.run_id))))
        return OK
    colours = colours or colours_for(sys.stdout, os.environ)
    rows = store.rows(record.run_id)
    for line in _lines(record, rows, state, all_nodes, clock.now(), colours, zone):
        echo(line)
    return OK


def _lines(
    run: RunRecord,
    rows: Mapping[str, Rows],
    state: str,
    all_nodes: bool,
    now: datetime,
    colours: Colours,
    zone: tzinfo | None,
) -> Iterator[str]:
    yield f"Run {run.run_id}  {colours.state(state, state)}"
    for name, text in _header(run, state, now, zone):
        yield f"  {colours(f'{name:<11}', 'dim')}{text}"
    nodes = [node for node in run.nodes if node.kind is not Kind.SESSION]
    trouble = [node for node in run.nodes if node.kind is Kind.SESSION and _is_trouble(node)]
    shown = nodes if all_nodes else _shown(nodes, rows)
    yield f"  {colours('nodes', 'dim')}      {counted(Counter(n.state for n in nodes), colours)}"
    if shown:
        yield ""
        yield from _table(shown, rows, colours)
    if len(shown) < len(nodes):
        hidden = many(len(nodes) - len(shown), "node")
        yield f"\n{hidden} without trouble not shown; --all shows all"
    for node in (*trouble, *nodes):
        yield from _attempts(node, colours, zone)
    if run.actions:
        yield f"\n{colours('by hand', 'bold')}"
        running = state == RunState.RUNNING
        yield from (f"  {_action(action, zone, running=running)}" for action in run.actions)


def _header(
    run: RunRecord, state: str, now: datetime, zone: tzinfo | None
) -> Iterator[tuple[str, str]]:
    target = f"target {run.target}" + (f" ({run.adapter})" if run.adapter else "")
    yield "pipeline", f"{run.pipeline}, {target}, {run.trigger}"
    start, end = run.data_interval_start, run.data_interval_end
    interval = f", data from {local(start, zone)} to {local(end, zone)}" if start != end else ""
    yield "stands for", f"{local(run.logical_date, zone)}{interval}"
    yield "started", f"{local(run.started_at, zone)}, {ago(run.started_at, now)}"
    if run.finished_at is not None:
        seconds = (run.finished_at - run.started_at).total_seconds()
        yield "finished", f"{local(run.finished_at, zone)}, took {took(seconds)}"
    deadline = Deadline.recorded(run.options)
    if deadline is not None:
        yield "deadline", _deadline(deadline, run, now, zone)
    late = {action.node_id for action in run.actions if action.action == Verb.DEADLINE}
    risky = {action.node_id for action in run.actions if action.action == Verb.AT_RISK}
    for id, at in sorted(node_deadlines(run.options).items(), key=lambda one: (one[1], one[0])):
        yield "deadline", f"{local(at, zone)} for {_named(id, run)}{_foretold(id, late, risky)}"
    if state == INTERRUPTED:
        yield "hint", "its process is gone; `dbtorch retry` goes on where it stopped"
    if run.command:
        yield "command", without_login(shlex.join(run.command))
    if run.git_commit:
        changed = " with local changes" if run.git_dirty else ""
        yield "git", f"{run.git_commit[:12]}{changed}"
    if run.dbt_version or run.dbtorch_version:
        yield "versions", f"dbt {run.dbt_version or '?'}, dbtorch {run.dbtorch_version or '?'}"


def _deadline(deadline: Deadline, run: RunRecord, now: datetime, zone: tzinfo | None) -> str:
    over = (run.finished_at or now) - deadline.at
    late = f", missed by {took(over.total_seconds())}" if over.total_seconds() > 0 else ""
    risky = {action.node_id for action in run.actions if action.action == Verb.AT_RISK}
    return f"{local(deadline.at, zone)}{late or _foretold('', (), risky)}"


def _foretold(id: str, late: Collection[str], risky: Collection[str]) -> str:
    if id in late:
        return ", missed"
    return ", was at risk" if id in risky else ""


def _named(id: str, run: RunRecord) -> str:
    return next((f"{n.kind} {short_name(id, n.name)}" for n in run.nodes if n.id == id), id)


def _action(action: Action, zone: tzinfo | None, *, running: bool) -> str:
    what = " ".join(filter(None, (action.action, action.node_id, action.state)))
    why = f": {action.reason}" if action.reason else ""
    effect = "" if action.handled_at else f" ({'waits' if running else 'without effect'})"
    return f"{local(action.at, zone)}  {what} by {action.actor}{why}{effect}"


def _shown(nodes: Sequence[NodeRecord], rows: Mapping[str, Rows]) -> Sequence[NodeRecord]:
    if len(nodes) <= _LONG:
        return nodes
    odd = {id for id, counted in rows.items() if counted.unusual}
    return [node for node in nodes if _is_trouble(node) or node.id in odd]


def _is_trouble(node: NodeRecord) -> bool:
    return node.state not in (State.SUCCESS, State.REUSED, State.PENDING) or (
        node.kind is not Kind.SESSION and len(node.attempts) > 1
    )


def _table(nodes: Sequence[NodeRecord], rows: Mapping[str, Rows], colours: Colours) -> list[str]:
    def paint(row: int, column: int, text: str) -> str:
        return colours.state(text, nodes[row].state) if column == _STATE else text

    return table(
        _HEAD, [_row(node, rows.get(node.id)) for node in nodes], right=_RIGHT, paint=paint
    )


def _row(node: NodeRecord, counted: Rows | None) -> list[str]:
    last = node.attempts[-1] if node.attempts else None
    seconds = [a.seconds for a in node.attempts if a.seconds is not None]
    rows = last.rows_affected if last else None
    if rows is None and counted is not None and last is not None and last.state.ok:
        rows = counted.rows
    quiet = node.state is State.SUCCESS and node.kind not in (Kind.STEP, Kind.CHECK)
    return [
        _label(node),
        _state_of(node.state, last),
        str(len(node.attempts) or "-"),
        took(sum(seconds)) if seconds else "-",
        str(rows) if rows is not None else "",
        # "SELECT 100" of a model that went well is its log's business.
        _unusual(counted) if quiet else gist(blamed(node.reason), 100),
    ]


def _unusual(counted: Rows | None) -> str:
    if counted is None or counted.usual is None or not counted.unusual:
        return ""
    return usually(counted.usual)


def _attempts(node: NodeRecord, colours: Colours, zone: tzinfo | None) -> Iterator[str]:
    """Every attempt of a node that failed or needed more than one."""
    failed = node.state is State.FAILED or len(node.attempts) > 1
    if not failed or (node.kind is Kind.SESSION and node.state.ok):
        return
    yield f"\n{colours(_label(node), 'bold')}  {colours(node.id, 'dim')}"
    for fact in _facts(node):
        yield f"  {fact}"
    for attempt in node.attempts:
        yield f"  {_attempt(attempt, colours, zone)}"
        if attempt.state is State.FAILED:
            yield from (f"      {line}" for line in tidy(attempt.message)[0].splitlines())


def _label(node: NodeRecord) -> str:
    if node.kind is Kind.SESSION:
        return "dbt session"
    return f"{node.kind} {short_name(node.id, node.name)}"


def _facts(node: NodeRecord) -> Iterator[str]:
    facts = (("owner", node.owner), ("group", node.group), ("runbook", node.runbook))
    told = [f"{name} {text}" for name, text in facts if text]
    if told:
        yield ", ".join(told)


def _state_of(state: State, attempt: AttemptRecord | None) -> str:
    """A state, and whether that is all that is known: the supervisor was gone."""
    lost = attempt is not None and attempt.lost and state is State.FAILED
    return f"{state} (lost)" if lost else state.value


def _attempt(attempt: AttemptRecord, colours: Colours, zone: tzinfo | None) -> str:
    at = attempt.started_at or attempt.queued_at
    kind = f"  {attempt.failure_class}" if attempt.failure_class else ""
    state = colours.state(_state_of(attempt.state, attempt), attempt.state)
    return f"attempt {attempt.number}  {state}  {local(at, zone)}  {took(attempt.seconds)}{kind}"
