"""What the teller tells of an event is read as dbt's own line is."""

import io
import json
from types import SimpleNamespace

import pytest
from dbt.adapters.events.types import ConnectionUsed, NewConnection, SQLQuery
from dbt.events.types import (
    JinjaLogInfo,
    LogBatchResult,
    LogHookEndLine,
    LogHookStartLine,
    LogStartLine,
    NodeFinished,
    NodeStart,
    RunResultError,
)
from dbt_common.events.base_types import EventLevel, msg_from_base_event
from dbt_common.events.contextvars import log_contextvars
from dbt_common.events.functions import msg_to_json
from dbt_common.events.types import Note

from dbtorch.adapters.dbt.dbtorch_worker import event_printer as teller
from dbtorch.adapters.dbt.dbtorch_worker import scrubbing
from dbtorch.adapters.dbt.dbtorch_worker.events import hear
from dbtorch.adapters.dbt.dbtorch_worker.patches import apply_patches
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import Began, Done, Lines, LogMessage
from tests.unit.test_worker_events import dbt_as_it_is, manager

__all__ = ["dbt_as_it_is", "manager"]

ID = "model.shop.orders"
NODE = {
    "node_path": "orders.sql",
    "node_name": "orders",
    "unique_id": ID,
    "resource_type": "model",
    "materialized": "table",
    "node_status": "success",
    "node_started_at": "2026-11-28T10:00:00.000001",
    "node_finished_at": "2026-11-28T10:00:02.000001",
    "meta": {},
}
TEST = {**NODE, "unique_id": "test.shop.ids", "resource_type": "test", "node_status": "fail"}
RAN = {
    "status": "success",
    "message": "OK",
    "thread": "Thread-1",
    "execution_time": 2.0,
    "num_failures": 0,
    "timing_info": [],
    "adapter_response": {"_message": "OK", "rows_affected": 7},
}

EVENTS = [
    (NodeStart, {"node_info": NODE}, Began),
    (LogStartLine, {"description": "a model", "index": 1, "total": 2, "node_info": NODE}, Began),
    (NodeFinished, {"node_info": NODE, "run_result": RAN}, Done),
    # a test that failed, and one that has no number of failures
    (
        NodeFinished,
        {"node_info": TEST, "run_result": {**RAN, "status": "fail", "num_failures": 3}},
        Done,
    ),
    (
        NodeFinished,
        {
            "node_info": {**NODE, "node_status": "error"},
            "run_result": {**RAN, "status": "error", "message": "no such table", "num_failures": 0},
        },
        Done,
    ),
    (
        LogHookStartLine,
        {"statement": "a hook", "index": 1, "total": 1, "node_info": {**NODE, "node_status": "-"}},
        Began,
    ),
    (
        LogHookEndLine,
        {
            "statement": "a hook",
            "status": "success",
            "index": 1,
            "total": 1,
            "execution_time": 0.5,
            "node_info": NODE,
        },
        Done,
    ),
    (
        LogBatchResult,
        {
            "description": "batch 1",
            "status": "success",
            "batch_index": 1,
            "total_batches": 2,
            "execution_time": 0.5,
            "node_info": NODE,
            "group": {},
        },
        LogMessage,
    ),
    (SQLQuery, {"conn_name": ID, "sql": "select 'ö'", "node_info": NODE}, LogMessage),
    (RunResultError, {"msg": "no such table", "node_info": NODE, "group": {}}, LogMessage),
    (JinjaLogInfo, {"msg": "from a macro", "node_info": {}}, LogMessage),
    (Note, {"msg": "mind the gap"}, LogMessage),
]


@pytest.fixture(params=[True, False], ids=["patched", "as it is"])
def told(request, dbt_as_it_is, manager, monkeypatch):
    """Fires events, and answers what was told of them."""
    output = io.BytesIO()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=output))
    if request.param:
        apply_patches()
    else:
        teller._keep_what_is_given()
    hear(teller.EventPrinter().tell)

    def fire(*events, level=None):
        output.seek(0)
        output.truncate()
        for event in events:
            manager.fire_event(event, level=level)
        return output.getvalue().splitlines()

    return fire


@pytest.mark.parametrize(("kind", "about", "expected"), EVENTS)
def test_an_event_is_read_as_dbts_own_line(told, kind, about, expected):
    level = EventLevel.INFO if kind is Note else None
    (line,) = told(kind(**about), level=level)
    found = Lines().read(line)
    assert isinstance(found, expected)
    assert found == Lines().read(msg_to_json(msg_from_base_event(kind(**about), level)).encode())


def test_what_is_said_while_a_node_runs_is_about_it(told):
    with log_contextvars(node_info=NODE):
        (line,) = told(Note(msg="about orders"), level=EventLevel.DEBUG)
    assert Lines().read(line) == LogMessage(unique_id=ID, level="debug", text="about orders")


def test_what_nobody_reads_is_not_told(told):
    used = ConnectionUsed(conn_type="duckdb", conn_name=ID)
    new = NewConnection(conn_type="duckdb", conn_name="master")
    assert told(new, Note(msg="about no node"), level=EventLevel.DEBUG) == []
    with log_contextvars(node_info=NODE):
        assert told(used) == []


def test_a_node_may_have_any_meta(told, monkeypatch):
    """dbt cannot put such an event into a form of its own."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # or dbt would raise
    event = NodeFinished(node_info={**NODE, "meta": {True: {"a": object()}}}, run_result=RAN)
    (line,) = told(event)
    assert Lines().read(line).status == "success"


def test_secrets_are_taken_out(told):
    known = scrubbing._Hiding.hide
    scrubbing.learn(['a"b\nc'])
    try:
        ran = {**RAN, "adapter_response": {"said": ['it was a"b\nc']}, "message": 'a"b\nc'}
        lines = told(
            NodeFinished(node_info=NODE, run_result=ran),
            SQLQuery(conn_name=ID, sql='select a"b\nc', node_info=NODE),
        )
    finally:
        scrubbing._Hiding.hide = known
    assert len(lines) == 2
    for line in lines:
        assert "*****" in line.decode()
        assert "a\\" not in line.decode()
    assert json.loads(lines[0])["data"]["run_result"]["message"] == "*****"


def test_nobody_who_reads_is_no_reason_to_fail(dbt_as_it_is, manager, monkeypatch):
    class Gone(io.BytesIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=Gone()))
    teller._keep_what_is_given()
    hear(teller.EventPrinter().tell)
    manager.fire_event(NodeStart(node_info=NODE))
