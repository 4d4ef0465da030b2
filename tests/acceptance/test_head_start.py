"""Steps start while dbt still reads the project, and what dbt then says is what counts."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.workspace import Workspace

INGEST = """
    import duckdb

    def load(context):
        with duckdb.connect(context.target["path"]) as connection:
            connection.execute("create schema if not exists raw")
            connection.execute("create table if not exists raw.loads (run text)")
            connection.execute("insert into raw.loads values (?)", [context.run_id])
"""

FILES = {
    "dbtorch.yml": """
        steps:
          ingest: {python: "ingestion:load", produces: source:raw.loads}
    """,
    "ingestion.py": INGEST,
    "models/schema.yml": """
        sources: [{name: raw, tables: [{name: loads}]}]
    """,
    "models/loaded.sql": "select count(*) as n from {{ source('raw', 'loads') }}",
}


@pytest.fixture
def warm(workspace: Workspace) -> Workspace:
    """A project that has been run once, so that dbt's answer is known."""
    workspace.write(FILES)
    workspace.dbtorch("run")
    return workspace


def kept_answer(workspace: Workspace) -> Path:
    (path,) = (workspace.dir / ".dbtorch" / "cache").glob("selected-*.json")
    return path


def expect_another_answer(path: Path) -> None:
    """Let a kept answer be another one than dbt's, though it looks whole and is not out of date."""
    kept = json.loads(path.read_text())
    kept["selected"] |= {"manifest_hash": "of another project", "manifest_digest": "and of another"}
    answer = json.dumps(kept["selected"])
    kept["digest"] = hashlib.sha256(answer.encode()).hexdigest()
    del kept["selected"]
    path.write_text(f'{json.dumps(kept)[:-1]}, "selected": {answer}}}')


def ingestion_of(workspace: Workspace) -> tuple[float, list[dict[str, object]]]:
    """When the last run's ingestion was started, in seconds since 1970, and its attempts."""
    run = workspace.dbtorch("show", "latest", "--format", "json").json()
    (step,) = (node for node in run["nodes"] if node["id"] == "step.ingest")
    return datetime.fromisoformat(step["attempts"][0]["started_at"]).timestamp(), step["attempts"]


def dbt_had_read_it(workspace: Workspace) -> float:
    """When dbt had read and linked the project, in seconds since 1970: it writes this file once."""
    return (workspace.dir / "target" / "graph_summary.json").stat().st_mtime


def test_an_ingestion_starts_before_dbt_has_read_the_project(warm: Workspace) -> None:
    warm.dbtorch("run")
    began, _ = ingestion_of(warm)
    assert began < dbt_had_read_it(warm)
    assert warm.query("select n from main.loaded") == [(2,)]


def test_after_a_change_it_waits_for_dbt(warm: Workspace) -> None:
    warm.write({"models/another.sql": "select 1 as id"})
    warm.dbtorch("run")
    began, _ = ingestion_of(warm)
    assert dbt_had_read_it(warm) < began


def test_a_project_that_no_longer_parses_starts_nothing(warm: Workspace) -> None:
    warm.write({"models/broken.sql": "select {{ nothing("})
    assert "broken" in warm.refused("run")
    assert warm.query("select count(*) from raw.loads") == [(1,)]


def test_what_dbt_answers_counts_also_when_it_was_expected_to_answer_something_else(
    warm: Workspace,
) -> None:
    expect_another_answer(kept_answer(warm))

    warm.dbtorch("run")

    began, attempts = ingestion_of(warm)
    assert began < dbt_had_read_it(warm)  # it was planned from the kept answer
    assert [attempt["state"] for attempt in attempts] == ["success"]  # not executed again
    assert warm.query("select n from main.loaded") == [(2,)]
    assert len(warm.runs()) == 2
