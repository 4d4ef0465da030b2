"""Steps start while dbt still reads the project, and what dbt then says is what counts."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.acceptance.workspace import Workspace

INGEST = """
    import os
    from pathlib import Path
    import duckdb

    def load(context):
        manifest = Path(context.project_dir, "target", "manifest.json")
        with duckdb.connect(context.target["path"]) as connection:
            connection.execute("create schema if not exists raw")
            connection.execute("create table if not exists raw.loads (run text)")
            connection.execute("insert into raw.loads values (?)", [context.run_id])
        return {"manifest_written_at": os.path.getmtime(manifest)}
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


def ingestion_of(workspace: Workspace) -> tuple[datetime, list[dict[str, object]]]:
    """When the last run started, and the attempts of its ingestion."""
    run = workspace.dbtorch("show", "latest", "--format", "json").json()
    (step,) = (node for node in run["nodes"] if node["id"] == "step.ingest")
    return datetime.fromisoformat(run["started_at"]), step["attempts"]


def test_an_ingestion_starts_before_dbt_has_read_the_project(warm: Workspace) -> None:
    warm.dbtorch("run")
    began, (attempt,) = ingestion_of(warm)
    seen = attempt["output"]["manifest_written_at"]  # type: ignore[index]
    assert seen < began.timestamp()  # the manifest it saw was still the one of the run before
    assert (warm.dir / "target" / "manifest.json").stat().st_mtime > began.timestamp()
    assert warm.query("select n from main.loaded") == [(2,)]


def test_after_a_change_it_waits_for_dbt(warm: Workspace) -> None:
    warm.write({"models/another.sql": "select 1 as id"})
    warm.dbtorch("run")
    began, (attempt,) = ingestion_of(warm)
    assert attempt["output"]["manifest_written_at"] > began.timestamp()  # type: ignore[index]


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
    seen = attempts[0]["output"]["manifest_written_at"]  # type: ignore[index]
    assert seen < began.timestamp()  # it was planned from the kept answer
    assert [attempt["state"] for attempt in attempts] == ["success"]  # not executed again
    assert warm.query("select n from main.loaded") == [(2,)]
    assert len(warm.runs()) == 2
