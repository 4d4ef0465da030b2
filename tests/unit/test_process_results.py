"""run_results.json as dbt 2.0.0rc196 and dbt-core 1.11.16 write it, with fewer nodes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.run_results import read_results
from dbtorch.core.errors import EngineError

SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"

DBT_2 = r"""
{"metadata":{"dbt_schema_version":"https://schemas.getdbt.com/dbt/run-results/v6.json","dbt_version":"2.0.0-preview.196","generated_at":"2026-11-21T19:02:15.903220099Z","invocation_id":"01a1ff7c-d635-7261-9059-a2a10641712c","env":{}},"results":[
{"status": "success", "timing": [{"name": "compile", "started_at": "2026-11-21T19:02:14.358162179Z", "completed_at": "2026-11-21T19:02:14.413027532Z"}, {"name": "execute", "started_at": "2026-11-21T19:02:14.358162179Z", "completed_at": "2026-11-21T19:02:14.413027532Z"}], "thread_id": "Thread-2", "execution_time": 0.054865353, "adapter_response": {"rows_affected": 2}, "message": "Succeeded", "unique_id": "seed.shop.letters", "relation_name": "\"warehouse\".\"main\".\"letters\""},
{"status": "warn", "timing": [{"name": "compile", "started_at": "2026-11-21T19:02:14.562454291Z", "completed_at": "2026-11-21T19:02:14.579068037Z"}, {"name": "execute", "started_at": "2026-11-21T19:02:14.562454291Z", "completed_at": "2026-11-21T19:02:14.579068037Z"}], "thread_id": "Thread-1", "execution_time": 0.016613746, "adapter_response": {}, "message": "Warn", "failures": 1, "unique_id": "test.shop.warns.cd68f1ef2d"}
],"elapsed_time":2.624604029,"args":{"command":"build","which":"build"}}
"""

DBT_1 = r"""
{"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json", "dbt_version": "1.11.16", "generated_at": "2026-11-21T19:03:13.4Z", "invocation_id": "c42db7a7-675b-486d-92f9-9d3c75153956", "env": {}}, "results": [
{"status": "partial success", "timing": [{"name": "compile", "started_at": "2026-11-21T19:03:12.611054Z", "completed_at": "2026-11-21T19:03:12.611061Z"}, {"name": "execute", "started_at": "2026-11-21T19:03:12.611591Z", "completed_at": "2026-11-21T19:03:13.104565Z"}], "thread_id": "Thread-4 (worker)", "execution_time": 0.4948458671569824, "adapter_response": {}, "message": "PARTIAL SUCCESS (1/2)", "failures": 0, "unique_id": "model.shop.daily_partly", "compiled": false, "relation_name": "\"warehouse\".\"main\".\"daily_partly\"", "batch_results": {"successful": [["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"]], "failed": [["2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"]]}},
{"status": "skipped", "timing": [], "thread_id": "Thread-3 (worker)", "execution_time": 0, "adapter_response": {}, "message": null, "failures": null, "unique_id": "model.shop.child", "compiled": false, "relation_name": "\"warehouse\".\"main\".\"child\"", "batch_results": null}
], "elapsed_time": 2.7, "args": {"which": "build"}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run_results.json"


def test_results_of_dbt_2(path: Path) -> None:
    path.write_text(DBT_2)

    found = read_results(path)

    assert found.dbt_version == "2.0.0-preview.196"
    assert found.invocation_id == "01a1ff7c-d635-7261-9059-a2a10641712c"
    assert list(found.nodes) == ["seed.shop.letters", "test.shop.warns.cd68f1ef2d"]
    seed, test = found.nodes.values()
    assert (seed.status, seed.rows, seed.failures) == ("success", 2, None)
    # nanoseconds are more than a Python datetime has
    assert seed.started_at == datetime(2026, 11, 21, 19, 2, 14, 358162, UTC)
    assert seed.ended_at == datetime(2026, 11, 21, 19, 2, 14, 413027, UTC)
    assert (test.status, test.failures, test.seconds) == ("warn", 1, 0.016613746)


def test_results_of_dbt_1(path: Path) -> None:
    path.write_text(DBT_1)

    model, skipped = read_results(path).nodes.values()

    assert (model.status, model.message) == ("partial success", "PARTIAL SUCCESS (1/2)")
    assert model.failures is None  # dbt 1 writes 0 for what is no test
    assert model.written["batch_results"]["failed"] == [
        ["2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"]
    ]
    assert (skipped.status, skipped.message, skipped.started_at) == ("skipped", "", None)


#: What dbt 2 wrote of a model that it had built, as on-run-end failed.
INVENTED = {
    "status": "error",
    "timing": [],
    "thread_id": "main",
    "execution_time": 0.0,
    "adapter_response": {},
    "message": "Compilation Error",
    "unique_id": "model.shop.quick",
}


@pytest.mark.parametrize(
    ("changed", "invented"),
    [
        ({}, True),
        ({"message": "Compilation Error in model quick (models/quick.sql)"}, False),
        ({"thread_id": "Thread-1", "execution_time": 0.002}, False),
    ],
)
def test_a_result_that_dbt_2_invents_is_known(
    path: Path, changed: dict[str, Any], invented: bool
) -> None:
    path.write_text(results({**INVENTED, **changed}))

    assert read_results(path).nodes["model.shop.quick"].invented is invented


def results(*entries: Any, schema: str = SCHEMA) -> str:
    return json.dumps({"metadata": {"dbt_schema_version": schema}, "results": entries})


ENTRY = {"unique_id": "model.shop.orders", "status": "success"}

#: What is no run_results.json, and why.
FOREIGN = {
    "broken off": (DBT_1[:900], "Input data was truncated"),
    "empty": ("", "Input data was truncated"),
    "sources.json": (
        results(schema="https://schemas.getdbt.com/dbt/sources/v3.json"),
        "its schema is 'https://schemas.getdbt.com/dbt/sources/v3.json', that of results has "
        "run-results in it",
    ),
    "another object": ("{}", "missing required field `metadata`"),
    "no object": ("[]", "Expected `object`, got `array`"),
    "a node of another type": (results({**ENTRY, "status": None}), "Expected `str`, got `null`"),
    "a node twice": (results(ENTRY, ENTRY), "it has model.shop.orders twice"),
    "nested for ever": (results(ENTRY)[:-2] + "," + "[" * 100_000, "recursion"),
}


@pytest.mark.parametrize(("content", "why"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_none_is_an_error_in_one_sentence(
    path: Path, content: str, why: str
) -> None:
    path.write_text(content)

    with pytest.raises(EngineError) as error:
        read_results(path)

    assert str(error.value).startswith(f"dbt's results {path} cannot be read (")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(EngineError) as error:
        read_results(path)

    assert str(error.value) == f"dbt's results {path} cannot be read (No such file or directory)"
