"""What a worker's answers come to."""

import json
from datetime import UTC, datetime

import pytest

from dbtorch.adapters.dbt.session.answers import (
    failed,
    look_of,
    lost,
    opened,
    outcome_of,
    selected_of,
)
from dbtorch.core.failures.classify import classify
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import Found, Measure
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.engine import Hook

T, D, C, U = (
    FailureClass.TRANSIENT,
    FailureClass.DATA,
    FailureClass.CODE,
    FailureClass.UNKNOWN,
)

#: dbt's status -> what it means
STATUSES = [
    ("success", State.SUCCESS, None),
    ("pass", State.SUCCESS, None),
    ("no-op", State.SUCCESS, None),  # an exposure, or a saved query without exports
    ("warn", State.WARN, None),
    ("reused", State.REUSED, None),  # dbt State: what is there still holds
    ("skipped", State.UPSTREAM_FAILED, None),
    ("fail", State.FAILED, D),  # a test's verdict on data
    ("error", State.FAILED, U),  # without evidence nobody knows why
    ("partial success", State.FAILED, U),
    ("runtime error", State.FAILED, U),
    ("splendid", State.FAILED, U),  # never a success that nobody has heard of
    ("", State.FAILED, U),
    (None, State.FAILED, U),
]


@pytest.mark.parametrize(("status", "state", "failure"), STATUSES)
def test_dbts_statuses_are_states(status, state, failure):
    outcome = outcome_of({"status": status, "message": "said"})
    assert (outcome.state, outcome.failure_class, outcome.message) == (state, failure, "said")


def test_an_answer_without_a_status_is_a_failure():
    assert outcome_of({}).state is State.FAILED


def test_evidence_decides_the_class_of_an_error():
    deadlock = {"classes": ["psycopg2.errors.DeadlockDetected"], "sqlstate": "40P01", "message": ""}
    outcome = outcome_of({"status": "error", "message": "deadlock detected", "errors": [deadlock]})
    assert outcome.failure_class is T
    assert classify([deadlock], "") is T


def test_a_verdict_is_about_data_whatever_its_words_say():
    assert outcome_of({"status": "fail", "message": "connection lost"}).failure_class is D


def test_no_message_is_an_empty_one():
    assert outcome_of({"status": "pass", "message": None}).message == ""


#: the adapter's response -> rows affected
ROWS = [
    ({"rows_affected": 3}, 3),
    ({"rows_affected": 0}, 0),
    ({"rows_affected": -1}, None),  # Postgres says so of statements that have none
    ({"rows_affected": "3"}, None),
    ({"code": "SELECT"}, None),
    ({}, None),
    (None, None),
    ("OK", None),
]


@pytest.mark.parametrize(("response", "rows"), ROWS)
def test_rows_affected_are_the_adapters(response, rows):
    assert outcome_of({"status": "success", "adapter_response": response}).rows_affected == rows


def test_details_are_dbts_result_without_what_has_a_place_of_its_own():
    message = {"type": "finished", "status": "error", "message": "m", "errors": [], "failures": 2}
    assert outcome_of(message).details == {"status": "error", "failures": 2}


def test_what_is_lost_may_work_with_another_worker():
    assert (lost("gone").state, lost("gone").failure_class) == (State.FAILED, T)
    assert lost("refused", C).failure_class is C


def test_a_session_that_cannot_open_says_why_in_dbts_words():
    lock = {"classes": ["duckdb.IOException"], "message": "Could not set lock on file"}
    outcome = failed({"message": "IO Error: Could not set lock on file", "errors": [lock]})
    assert (outcome.state, outcome.failure_class) == (State.FAILED, T)
    assert outcome.message == "IO Error: Could not set lock on file"
    assert failed({"message": "what?"}).failure_class is U


def test_a_hook_that_keeps_nodes_from_running_fails_the_opening():
    assert opened(blocked=False).state is State.SUCCESS
    assert (opened(blocked=True).state, opened(blocked=True).failure_class) == (State.FAILED, C)


def test_a_selection_comes_with_the_manifest_of_the_same_parse(tmp_path):
    path = tmp_path / "manifest.json"
    hook = {"unique_id": "operation.shop.shop-on-run-start-0", "name": "start"}
    model = {"unique_id": "model.shop.a", "name": "a", "resource_type": "model"}
    nodes = [{**hook, "resource_type": "operation"}, model]
    path.write_text(json.dumps({"nodes": {node["unique_id"]: node for node in nodes}}))

    selected = selected_of(
        {
            "manifest_path": str(path),
            "selected": ["model.shop.a", "test.shop.t"],
            "edges": [["model.shop.a", "test.shop.t"]],
            "selected_sources": ["source.shop.raw.a"],
            "resolved": {"a": ["model.shop.a"], "nobody": []},
            "unreadable": {},
            "threads": 4,
            "fail_fast": True,
            "target": {"name": "dev"},
            "exclusive_file": None,
            "vars": {"colour": "red"},
            "dbt_version": "1.11.0",
            "adapter": "duckdb 1.11.0",
            "project": "shop",
            "project_dir": str(tmp_path),
            "target_path": str(tmp_path / "target"),
            "manifest_hash": "abc",
            "checksums": {"model.shop.a": "a1"},
            "watched": ["models"],
            "env_vars": ["PLACE"],
        }
    )

    assert [node.kind for node in selected.nodes] == [Kind.OPERATION, Kind.MODEL]
    assert [node.checksum for node in selected.nodes] == ["", "a1"]
    assert selected.hooks == (Hook(id="operation.shop.shop-on-run-start-0", name="start"),)
    assert selected.selected == {"model.shop.a", "test.shop.t"}
    assert selected.selected_edges == (("model.shop.a", "test.shop.t"),)
    assert selected.resolved == {"a": {"model.shop.a"}, "nobody": set()}
    assert (selected.target_path, selected.watched) == (tmp_path / "target", ("models",))


@pytest.mark.parametrize(
    ("rows", "measures"),
    [
        ({}, ()),
        ({"affected": 0}, (Measure(name="rows_affected", number=0),)),
        (
            {"affected": 3, "count": 50},
            (Measure(name="rows_affected", number=3), Measure(name="row_count", number=50)),
        ),
        ({"affected": None, "count": 7}, (Measure(name="row_count", number=7),)),
    ],
)
def test_rows_are_measures_of_a_node(rows, measures):
    outcome = outcome_of({"status": "success", "rows": rows})
    assert outcome.measures == measures
    assert "rows" not in outcome.details  # they are kept once


def test_a_look_at_a_relation_is_what_it_found():
    found = {
        "rows": 5,
        "nulls": {"id": 2},
        "newest": {"at": "2026-03-01T12:00:00+00:00", "never": None, "odd": "noon"},
        "columns": [["id", "bigint"]],
        "errors": {"null_rate(nope)": "no such column"},
    }
    lock = {"classes": ["psycopg2.errors.DeadlockDetected"], "sqlstate": "40P01", "message": ""}
    message = {"status": "success", "found": found, "errors": [lock]}
    outcome = look_of("check.model.shop.a", message)
    assert (outcome.state, outcome.failure_class) == (State.SUCCESS, None)
    assert outcome.found == Found(
        rows=5,
        nulls={"id": 2},
        newest={"at": datetime(2026, 3, 1, 12, tzinfo=UTC), "never": None},
        columns=(("id", "bigint"),),
        errors={"null_rate(nope)": "no such column"},
        failure_class=T,
    )


@pytest.mark.parametrize("message", [{"status": "success"}, {"status": "error", "message": "gone"}])
def test_a_look_that_found_nothing_has_failed(message):
    outcome = look_of("check.model.shop.a", message)
    assert (outcome.state, outcome.failure_class) == (State.FAILED, U)
    assert outcome.message.startswith("the checks of model.shop.a could not be evaluated")
