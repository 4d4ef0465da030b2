"""What a worker answers, in dbtorch's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.core.failures.classify import asked_delay, classify
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.freshness import BEYOND, Thresholds, beyond_limit, status_of, told
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import ROW_COUNT, ROWS_AFFECTED, Found, Measure, relation_of
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.model.wait import NOT_YET
from dbtorch.ports.engine import Hook, Selected

if TYPE_CHECKING:
    from dbtorch.core.failures.evidence import Rule

_STATES = {
    "success": State.SUCCESS,
    "pass": State.SUCCESS,
    "no-op": State.SUCCESS,
    "warn": State.WARN,
    "reused": State.REUSED,
    "skipped": State.UPSTREAM_FAILED,
}

#: Parts of a message that have fields of their own.
_TOLD_APART = ("errors", "message", "type", "rows", "rows_affected", "found")


def outcome_of(message: Mapping[str, Any], rules: Sequence[Rule] = ()) -> Outcome:
    """What a worker's answer about a node comes to. An unknown status counts as failed.

    ``rules`` are the user's failure classes.
    """
    status = str(message["status"]) if "status" in message else "missing"
    state = _STATES.get(status, State.FAILED)
    text = str(message.get("message") or "")
    response = message.get("adapter_response") or {}
    rows = response.get("rows_affected") if isinstance(response, dict) else None
    rows = message.get("rows_affected", rows)
    details = {key: value for key, value in message.items() if key not in _TOLD_APART}
    failure_class = retry_after = None
    if state is State.FAILED:
        errors = message.get("errors") or ()
        failure_class = _failure_class(status, errors, text, rules)
        retry_after = asked_delay(errors, datetime.now(UTC))
    return Outcome(
        state=state,
        message=text,
        failure_class=failure_class,
        waits=state is State.FAILED and NOT_YET in text,
        rows_affected=rows if isinstance(rows, int) and rows >= 0 else None,
        retry_after=retry_after,
        details=details,
        measures=_rows(message.get("rows") or {}),
    )


def hook_outcome(message: Mapping[str, Any], rules: Sequence[Rule] = ()) -> Outcome:
    """What a hook came to. Of one that failed dbt says why on a line of its own."""
    outcome = outcome_of(message, rules)
    first, _, rest = outcome.message.partition("\n")
    if outcome.state.ok or not rest.strip():
        return outcome
    return replace(outcome, message=f"{first.rstrip()} {rest.lstrip()}")


def _rows(said: Mapping[str, int | None]) -> tuple[Measure, ...]:
    names = ((ROWS_AFFECTED, "affected"), (ROW_COUNT, "count"))
    return tuple(
        Measure(name=name, number=said[key]) for name, key in names if said.get(key) is not None
    )


def _failure_class(
    status: str, errors: Sequence[Mapping[str, Any]], text: str, rules: Sequence[Rule]
) -> FailureClass:
    if status == "fail":
        return FailureClass.DATA  # a test's verdict
    return classify(errors, text, rules)


def freshness_of(source: str, message: Mapping[str, Any], rules: Sequence[Rule] = ()) -> Outcome:
    """What the check of a source comes to; ``source`` is its unique id."""
    found = message.get("source") or {}
    criteria = found.get("criteria") or {}
    limits = Thresholds(
        warn_after=_seconds(criteria.get("warn_after")),
        error_after=_seconds(criteria.get("error_after")),
        filter=criteria.get("filter") or "",
    )
    age = found.get("max_loaded_at_time_ago_in_s")
    status = status_of(found) if age is not None else "runtime error"
    name = ".".join(source.split(".")[2:])
    outcome = outcome_of(message, rules)
    state = _FRESHNESS.get(status, State.FAILED)
    failure_class, details = None, outcome.details
    if age is not None and status in ("warn", "error"):
        details = {**details, BEYOND: beyond_limit(status, age, limits)}
    if state is State.FAILED:
        stale = status == "error"
        failure_class = FailureClass.DATA if stale else outcome.failure_class
    return replace(
        outcome,
        state=state,
        details=details,
        failure_class=failure_class or (FailureClass.UNKNOWN if state is State.FAILED else None),
        message=told(name, status, age, limits, _HEADING.sub("", outcome.message)),
    )


def look_of(check: str, message: Mapping[str, Any], rules: Sequence[Rule] = ()) -> Outcome:
    """What a look at a relation has found, to be judged; ``check`` is the checking node's id."""
    outcome = outcome_of(message, rules)
    found = message.get("found")
    if found is None or not outcome.state.ok:
        name = relation_of(check)
        return replace(
            outcome,
            state=State.FAILED,
            failure_class=outcome.failure_class or FailureClass.UNKNOWN,
            message=f"the checks of {name} could not be evaluated: {outcome.message}".rstrip(": "),
        )
    errors = message.get("errors") or ()
    text = "; ".join(found.get("errors", {}).values())
    columns = found.get("columns")
    return replace(
        outcome,
        found=Found(
            rows=found.get("rows"),
            nulls=found["nulls"],
            newest={
                column: None if at is None else datetime.fromisoformat(at)
                for column, at in found["newest"].items()
                if at is None or _is_moment(at)
            },
            columns=None if columns is None else tuple((name, type) for name, type in columns),
            errors=found.get("errors", {}),
            failure_class=classify(errors, text, rules) if text else None,
        ),
    )


def _is_moment(text: str) -> bool:
    """Whether it is a time that can be compared; of any other one nobody knows the age."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


#: dbt names the source, which the sentence has named already.
_HEADING = re.compile(r"\A\w+ Error in source .*\n\s*")

_FRESHNESS = {"pass": State.SUCCESS, "warn": State.WARN}

_PERIODS = {"minute": 60, "hour": 3600, "day": 86_400}


def _seconds(limit: Mapping[str, Any] | None) -> float | None:
    count, period = (limit or {}).get("count"), (limit or {}).get("period")
    return float(count * _PERIODS[period]) if count is not None and period in _PERIODS else None


def failed(message: Mapping[str, Any], rules: Sequence[Rule] = ()) -> Outcome:
    """The outcome of opening or closing a session that dbt could not open or close."""
    text = str(message["message"])
    return Outcome(
        state=State.FAILED,
        message=text,
        failure_class=classify(message.get("errors") or (), text, rules),
        details={key: value for key, value in message.items() if key not in _TOLD_APART},
    )


def opened(*, blocked: bool) -> Outcome:
    """The outcome of opening a session; a hook that failed may keep nodes from running."""
    if not blocked:
        return Outcome(state=State.SUCCESS)
    return Outcome(
        state=State.FAILED,
        message="an on-run-start hook failed, and skip_nodes_if_on_run_start_fails is set",
        failure_class=FailureClass.CODE,
    )


def lost(why: str, failure_class: FailureClass = FailureClass.TRANSIENT) -> Outcome:
    """The outcome of an attempt whose worker is gone: it may work with another one."""
    return Outcome(state=State.FAILED, message=why, failure_class=failure_class, lost=True)


def selected_of(answer: Mapping[str, Any]) -> Selected:
    """What dbt selected, with the manifest of the same parse."""
    from dbtorch.adapters.dbt.manifest import read_manifest  # other engines read it elsewhere

    manifest = read_manifest(Path(answer["manifest_path"]))
    checksums = answer["checksums"]
    return Selected(
        nodes=tuple(replace(node, checksum=checksums.get(node.id, "")) for node in manifest.nodes),
        edges=manifest.edges,
        selected=frozenset(answer["selected"]),
        selected_edges=tuple((before, after) for before, after in answer["edges"]),
        selected_sources=frozenset(answer["selected_sources"]),
        resolved={text: frozenset(found) for text, found in answer["resolved"].items()},
        unreadable=answer["unreadable"],
        freshness={id: Thresholds(**found) for id, found in answer.get("freshness", {}).items()},
        hooks=tuple(
            Hook(id=node.id, name=node.name)
            for node in manifest.nodes
            if node.kind is Kind.OPERATION
        ),
        threads=answer["threads"],
        fail_fast=answer["fail_fast"],
        target=answer["target"],
        exclusive_file=answer["exclusive_file"],
        vars=answer["vars"],
        dbt_version=answer["dbt_version"],
        adapter=answer["adapter"],
        project=answer["project"],
        project_dir=Path(answer["project_dir"]),
        target_path=Path(answer["target_path"]),
        manifest_hash=answer["manifest_hash"],
        watched=tuple(answer["watched"]),
        env_vars=tuple(answer["env_vars"]),
    )
