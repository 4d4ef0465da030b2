"""What programs may ask for at `/api/v1`, as OpenAPI: one list, to which tests hold answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbtorch.core.history.records import Verb
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.reason import ReasonKind
from dbtorch.core.model.state import FailureClass, RunState, State
from dbtorch.service.history.graph_page import By
from dbtorch.service.history.lookup import INTERRUPTED
from dbtorch.service.wish import Deed
from dbtorch.version import VERSION

Shape = dict[str, Any]

_ANYTHING: Shape = {}
_TEXT: Shape = {"type": "string"}
_NUMBER: Shape = {"type": "number"}
_WHOLE: Shape = {"type": "integer"}
_YES: Shape = {"type": "boolean"}
_TIME: Shape = {"type": "string", "format": "date-time"}


def _one_of(words: Any, *more: str) -> Shape:
    return {"type": "string", "enum": sorted({*map(str, words), *more})}


def _list(of: Shape) -> Shape:
    return {"type": "array", "items": of}


def _by_name(of: Shape) -> Shape:
    return {"type": "object", "additionalProperties": of}


def _or_null(shape: Shape) -> Shape:
    return {"anyOf": [shape, {"type": "null"}]}


def _object(
    more: Mapping[str, Shape] | None = None,
    *,
    needs: tuple[str, ...] | None = None,
    **fields: Shape,
) -> Shape:
    """All these fields and no others; those of ``needs`` are always there, by default all."""
    fields |= more or {}
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields if needs is None else needs),
        "additionalProperties": False,
    }


def _ref(name: str) -> Shape:
    return {"$ref": f"#/components/schemas/{name}"}


_RUN_STATE = _one_of(RunState, INTERRUPTED)
_STATE = _one_of(State)

_ATTEMPT: Mapping[str, Shape] = {
    "number": _WHOLE,
    "state": _STATE,
    "lost": _YES,
    "queued_at": _TIME,
    "started_at": _or_null(_TIME),
    "finished_at": _or_null(_TIME),
    "failure_class": _or_null(_one_of(FailureClass)),
    "message": _or_null(_TEXT),
    "rows_affected": _or_null(_WHOLE),
    "output": _ANYTHING,
}

_NODE: Mapping[str, Shape] = {
    "id": _TEXT,
    "kind": _one_of(Kind),
    "name": _TEXT,
    "state": _STATE,
    "reason": _or_null(_TEXT),
    "reason_kind": _or_null(_one_of(ReasonKind)),
    "reason_nodes": _list(_TEXT),
    "path": _or_null(_TEXT),
    "materialized": _or_null(_TEXT),
    "owner": _or_null(_TEXT),
    "runbook": _or_null(_TEXT),
    "group": _or_null(_TEXT),
    "retry_at": _or_null(_TIME),
    "rows": _or_null(_WHOLE),
    "usual_rows": _or_null(_WHOLE),
    "checks": _list(_ANYTHING),
    "attempts": _list(_ref("Attempt")),
}

#: Column and row.
_PLACE: Shape = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}

_TREND: Mapping[str, Shape] = {
    "id": _TEXT,
    "label": _TEXT,
    "kind": _one_of(Kind),
    "owner": _TEXT,
    "runs": _WHOLE,
    "failed": _WHOLE,
    "flaky": _WHOLE,
    "usual": _or_null(_NUMBER),
    "classes": _by_name(_WHOLE),
    "slower": _or_null(
        _object(before=_NUMBER, since=_NUMBER, factor=_NUMBER, run_id=_TEXT, at=_TIME, commit=_TEXT)
    ),
}

_SCHEMAS: Mapping[str, Shape] = {
    "Error": _object(error=_TEXT),
    "Attempt": _object(_ATTEMPT),
    "Node": _object(_NODE),
    "ActionTaken": _object(
        action=_one_of(Verb),
        at=_TIME,
        actor=_TEXT,
        node_id=_or_null(_TEXT),
        state=_or_null(_TEXT),
        reason=_or_null(_TEXT),
        handled_at=_or_null(_TIME),
    ),
    "ListedRun": _object(
        run_id=_TEXT,
        pipeline=_TEXT,
        target=_TEXT,
        trigger=_TEXT,
        partial=_YES,
        logical_date=_TIME,
        state=_RUN_STATE,
        started_at=_TIME,
        finished_at=_or_null(_TIME),
        seconds=_or_null(_NUMBER),
        counts=_by_name(_WHOLE),
    ),
    "Run": _object(
        schema_version=_WHOLE,
        run_id=_TEXT,
        pipeline=_TEXT,
        project=_TEXT,
        target=_TEXT,
        logical_date=_TIME,
        data_interval_start=_or_null(_TIME),
        data_interval_end=_TIME,
        partition=_or_null(_TEXT),
        previous_success_end=_or_null(_TIME),
        state=_RUN_STATE,
        started_at=_TIME,
        finished_at=_or_null(_TIME),
        trigger=_TEXT,
        triggered_by=_ANYTHING,
        params=_by_name(_ANYTHING),
        partial=_YES,
        command=_list(_TEXT),
        dbtorch_version=_or_null(_TEXT),
        dbt_version=_or_null(_TEXT),
        adapter=_or_null(_TEXT),
        manifest_hash=_or_null(_TEXT),
        git_commit=_or_null(_TEXT),
        git_dirty=_or_null(_YES),
        host=_or_null(_TEXT),
        deadline=_or_null(_TIME),
        deadline_missed=_YES,
        deadline_at_risk=_YES,
        node_deadlines=_list(
            _object(node_id=_TEXT, deadline=_TIME, missed=_YES, at_risk=_YES),
        ),
        counts=_by_name(_WHOLE),
        dbt_warnings=_list(_ANYTHING),
        waits=_by_name(_list(_TEXT)),
        nodes=_list(_ref("Node")),
        actions=_list(_ref("ActionTaken")),
        session=_list(_ref("Node")),
    ),
    "Changes": _object(
        needs=("sequence", "state", "nodes"),
        sequence=_WHOLE,
        state=_RUN_STATE,
        finished_at=_TIME,
        resumed_at=_TIME,
        nodes=_list(
            _object(
                {**_NODE, "attempts": _list(_object(_ATTEMPT, needs=("number", "state")))},
                needs=("id", "kind", "name", "label", "state"),
                label=_TEXT,
            )
        ),
    ),
    "Graph": _object(
        schema_version=_WHOLE,
        what=_TEXT,
        begins=_list(_WHOLE),
        left_out=_WHOLE,
        columns=_WHOLE,
        rows=_NUMBER,
        boxes=_list(
            _object(needs=("at",), node=_WHOLE, group=_TEXT, before=_WHOLE, after=_WHOLE, at=_PLACE)
        ),
        edges=_list(_object({"from": _WHOLE, "to": _WHOLE, "count": _WHOLE, "by": _list(_PLACE)})),
    ),
    "Trend": _object(_TREND),
    "Trends": _object(
        dict.fromkeys(("slower", "flaky", "failing", "slowest"), _list(_ref("Trend"))),
        schema_version=_WHOLE,
        target=_TEXT,
        runs=_WHOLE,
    ),
    "NodeHistory": _object(
        {**_TREND, **dict.fromkeys(("path", "materialized", "runbook", "group"), _TEXT)},
        schema_version=_WHOLE,
        target=_TEXT,
        history=_list(
            _object(
                run_id=_TEXT,
                pipeline=_TEXT,
                at=_TIME,
                commit=_TEXT,
                state=_STATE,
                seconds=_or_null(_NUMBER),
                rows=_or_null(_NUMBER),
                tries=_list(_object({"state": _STATE, "class": _or_null(_one_of(FailureClass))})),
            )
        ),
        failures=_list(
            _object(
                {"class": _or_null(_one_of(FailureClass))},
                run_id=_TEXT,
                attempt=_WHOLE,
                at=_TIME,
                message=_TEXT,
            )
        ),
        code=_or_null(
            _object(
                raw=_TEXT,
                compiled=_TEXT,
                description=_TEXT,
                relation=_TEXT,
                tags=_list(_TEXT),
                config=_by_name(_TEXT),
                columns=_list(_object(name=_TEXT, type=_TEXT, description=_TEXT)),
                tests=_list(_TEXT),
            )
        ),
    ),
    "Action": _object(
        needs=("action",),
        action=_one_of(Deed),
        run=_TEXT,
        nodes=_list(_TEXT),
        state=_one_of((State.SUCCESS, State.FAILED)),
        pipeline=_TEXT,
        first=_TEXT,
        last=_TEXT,
        reason=_TEXT,
        dry_run=_YES,
    ),
    "Done": _object(needs=("command",), command=_TEXT, said=_list(_TEXT)),
}


def _parameter(name: str, what: str, of: Shape = _TEXT, *, needed: bool = False) -> Shape:
    where = "path" if name == "run" else "query"
    needed = needed or where == "path"
    return {"name": name, "in": where, "description": what, "required": needed, "schema": of}


_RUN = _parameter("run", 'A run: its id, the beginning of one, or "latest".')
_AFTER = _parameter("after", "Sequence number of the last change that is known.", _WHOLE)
_TARGET = _parameter("target", "Target of dbt; that of the newest run by default.")


def _answer(what: str, of: Shape | None, type: str = "application/json") -> Shape:
    return {"description": what, "content": {type: {"schema": of or _TEXT}}}


def _get(what: str, answer: Shape, *parameters: Shape) -> Shape:
    refused = {
        "400": "What is asked for is none that can be.",
        "401": "The token is missing, or another one.",
        "404": "What is asked for is not there.",
        "503": "The history does not answer.",
    }
    others = {code: _answer(why, _ref("Error")) for code, why in refused.items()}
    said = {"summary": what, "parameters": list(parameters), "responses": {"200": answer, **others}}
    return {"get": said}


def _post(what: str, body: Shape, answer: Shape) -> Shape:
    refused = {
        "400": "It is none that can be.",
        "401": "The token is missing, or another one.",
        "403": "It comes from another site, or nobody may act here.",
        "404": "What it is about is not there.",
        "409": "It cannot be done now.",
        "415": "It is no JSON.",
        "503": "The history does not answer.",
    }
    return {
        "post": {
            "summary": what,
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "200": answer,
                **{code: _answer(why, _ref("Error")) for code, why in refused.items()},
            },
        }
    }


_PATHS: Mapping[str, Shape] = {
    "/api/v1/runs": _get(
        "The newest runs first.",
        _answer("Runs.", _list(_ref("ListedRun"))),
        _parameter("limit", "How many, 1000 at most; 20 by default.", _WHOLE),
        _parameter("pipeline", "Of which pipeline."),
    ),
    "/api/v1/runs/{run}": _get("All of a run.", _answer("The run.", _ref("Run")), _RUN),
    "/api/v1/runs/{run}/changes": _get(
        "The nodes that have changed since, without what is null or empty; of a whole id.",
        _answer("What has changed.", _ref("Changes")),
        _RUN,
        _AFTER,
    ),
    "/api/v1/runs/{run}/events": _get(
        "The same as it happens: server-sent events, whose ids are sequence numbers.",
        _answer("A stream that ends with the run.", None, "text/event-stream"),
        _RUN,
        _AFTER,
    ),
    "/api/v1/runs/{run}/log": _get(
        "A part of a log. X-Dbtorch-Next is the byte at which the next one begins.",
        _answer("Text.", None, "text/plain"),
        _RUN,
        _parameter("node", "Name or id of a node.", needed=True),
        _parameter("attempt", "Which attempt; the last one by default.", _WHOLE),
        _parameter("from", "Byte to begin at.", _WHOLE),
        _parameter("all", "1: the whole log at once."),
    ),
    "/api/v1/runs/{run}/graph": _get(
        "A part of the graph of a run, with the places of its boxes. Nodes are meant by their"
        " places in the nodes of the run.",
        _answer("Boxes and edges.", _ref("Graph")),
        _RUN,
        _parameter("focus", "What it is about, as in 3.14.15; what failed or runs by default."),
        _parameter("before", "Nodes whose parents are shown as well."),
        _parameter("after", "Nodes whose children are shown as well."),
        _parameter("all", "1: everything."),
        _parameter("tests", "1: tests and checks that are well, too."),
        _parameter("by", "What nodes are put together by.", _one_of(By)),
        _parameter("open", "A group whose nodes are shown; may be repeated."),
    ),
    "/api/v1/node": _get(
        "A node from run to run, with its code.",
        _answer("The node.", _ref("NodeHistory")),
        _parameter("node", "Id of the node.", needed=True),
        _TARGET,
    ),
    "/api/v1/nodes": _get(
        "Nodes that need a look: slower than before, flaky, failing.",
        _answer("Lists of nodes.", _ref("Trends")),
        _TARGET,
    ),
    "/api/v1/session": _post(
        "Exchange the token for a cookie.", _object(token=_TEXT), _answer("Done.", _object())
    ),
    "/api/v1/actions": _post(
        "Do what a command does, or with dry_run name that command alone.",
        _ref("Action"),
        _answer("What came of it.", _ref("Done")),
    ),
    "/api/v1/openapi.json": _get("This.", _answer("OpenAPI.", {"type": "object"})),
}


def openapi() -> Shape:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "dbtorch", "version": VERSION, "summary": "Runs of a dbt project."},
        "security": [{"token": []}, {}],
        "paths": dict(_PATHS),
        "components": {
            "schemas": dict(_SCHEMAS),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
