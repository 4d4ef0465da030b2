"""One run, as text and JSON."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from dbtorch.cli.text.colour import Colours, colours_for
from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.cli.text.words import counted, local
from dbtorch.core.failures.message import gist, one_line, tidy
from dbtorch.core.history.records import Action, AttemptRecord, NodeRecord, RunRecord, Verb
from dbtorch.core.model.deadline import Deadline, node_deadlines
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.interval import Interval
from dbtorch.core.model.measure import Rows, usually
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import RunState, State
from dbtorch.core.schedule.cause import cause_of
from dbtorch.core.text.phrases import ago, blamed, many, took, without_login
from dbtorch.service.history.lookup import INTERRUPTED
from dbtorch.service.history.run import RunReport
from dbtorch.service.history.run_json import run_json

#: Runs with more nodes than this show those that did not go well, unless all are asked for.
_LONG = 60

_NEVER = datetime.max.replace(tzinfo=UTC)

_HEAD = ("NODE", "STATE", "ATTEMPTS", "TOOK", "ROWS", "REMARK")
_STATE = _HEAD.index("STATE")
_RIGHT = frozenset({_HEAD.index("ATTEMPTS"), _HEAD.index("TOOK"), _HEAD.index("ROWS")})


def run_json_text(report: RunReport) -> str:
    """For programs."""
    return document(**run_json(report))


def run_text(
    report: RunReport,
    *,
    all_nodes: bool = False,
    colours: Colours | None = None,
    zone: tzinfo | None = None,
) -> Iterator[str]:
    """Lines for people; of a long run with the nodes that did not go well, unless all are wanted.

    ``colours`` and ``zone`` are this machine's when they are not given.
    """
    run, rows, state = report.record, report.rows, report.state
    colours = colours or colours_for(sys.stdout, os.environ)
    yield f"Run {run.run_id}  {colours.state(state, state)}"
    for name, text in _header(report, zone):
        yield f"  {colours(f'{name:<11}', 'dim')}{one_line(text)}"
    nodes = sorted((n for n in run.nodes if n.kind is not Kind.SESSION), key=_begun)
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
    if run.dbt_warnings:
        yield f"\n{colours('warnings of dbt', 'bold')}"
        yield from (f"  {_AGAIN.join(str(one).splitlines())}" for one in run.dbt_warnings)
    if run.actions:
        yield f"\n{colours('by hand', 'bold')}"
        running = state == RunState.RUNNING
        yield from (f"  {_action(action, zone, running=running)}" for action in run.actions)


#: Between the lines of a warning.
_AGAIN = "\n    "


def _begun(node: NodeRecord) -> tuple[bool, datetime]:
    """When a node began, for their order; what never did comes last, in the order of the plan."""
    begun = [at for one in node.attempts[:1] for at in (one.started_at or one.queued_at,)]
    return (False, begun[0]) if begun else (True, _NEVER)


def _header(report: RunReport, zone: tzinfo | None) -> Iterator[tuple[str, str]]:
    run, now = report.record, report.at
    target = f"target {run.target}" + (f" ({run.adapter})" if run.adapter else "")
    part = " (a part of it)" if run.partial else ""
    yield "pipeline", f"{run.pipeline}{part}, {target}, {run.trigger}"
    if (said := run.options.get("triggered_by")) and said.get("text"):
        yield "trigger", str(cause_of(said))
    if params := run.options.get("params"):
        yield "params", ", ".join(f"{name}={value}" for name, value in params.items())
    for source, nodes in run.waits.items():
        yield "gated", f"{many(len(nodes), 'node')} for {_named(source, run)}"
    yield "covers", str(Interval(run.data_interval_start, run.data_interval_end))
    if run.partition not in ("", "-"):
        yield "partition", run.partition
    yield "started", f"{local(run.started_at, zone)}, {ago(run.started_at, now)}"
    if run.finished_at is not None:
        seconds = run.seconds_at_work
        yield "finished", f"{local(run.finished_at, zone)}, took {took(seconds)}"
    deadline = Deadline.recorded(run.options)
    if deadline is not None:
        yield "deadline", _deadline(deadline, run, now, zone)
    late = {action.node_id for action in run.actions if action.action == Verb.DEADLINE}
    risky = {action.node_id for action in run.actions if action.action == Verb.AT_RISK}
    for id, at in sorted(node_deadlines(run.options).items(), key=lambda one: (one[1], one[0])):
        yield "deadline", f"{local(at, zone)} for {_named(id, run)}{_foretold(id, late, risky)}"
    if report.state == INTERRUPTED:
        yield "hint", f"its process is gone; `dbtorch retry {run.run_id}` goes on where it stopped"
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
    return next((label(node) for node in run.nodes if node.id == id), id)


def _action(action: Action, zone: tzinfo | None, *, running: bool) -> str:
    what = " ".join(filter(None, (action.action, action.node_id, action.state)))
    why = f": {action.reason}" if action.reason else ""
    effect = "" if action.handled_at else f" ({'waits' if running else 'without effect'})"
    return one_line(f"{local(action.at, zone)}  {what} by {action.actor}{why}{effect}")


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
    yield f"\n{colours(_label(node), 'bold')}  {colours(one_line(node.id), 'dim')}"
    for fact in _facts(node):
        yield f"  {one_line(fact)}"
    for attempt in node.attempts:
        yield f"  {_attempt(attempt, colours, zone)}"
        if attempt.state is State.FAILED:
            yield from (f"      {line}" for line in tidy(attempt.message)[0].splitlines())


def _label(node: NodeRecord) -> str:
    if node.kind is Kind.SESSION:
        return "dbt session"
    return label(node)


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
