"""Two projects of one name, over one history: neither touches what is the other's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.workspace import Shown, Workspace

FAILS = {
    "dbtorch.yml": "steps: {load: {command: 'exit 3', retry: {retries: 0}}}",
    "models/.gitkeep": "",
}


@pytest.mark.postgres
def test_a_project_goes_on_with_its_own_runs_alone(tmp_path: Path, postgres_url: str) -> None:
    ours, theirs = Workspace(tmp_path / "a", FAILS), Workspace(tmp_path / "b", FAILS)
    for one in (ours, theirs):
        one.env["DBTORCH_DATABASE_URL"] = postgres_url
    ours.dbtorch("run", code=1)
    run_id = Shown(ours.dbtorch("show", "--format", "json").json()).id
    assert "no run of this project is recorded yet" in theirs.dbtorch("retry", code=2).err
    for command in (["retry", run_id], ["cancel", run_id], ["show", run_id]):
        assert f"there is no run '{run_id}'" in theirs.dbtorch(*command, code=2).err
    assert run_id not in theirs.dbtorch("runs").out
    told = theirs.dbtorch("db").out
    assert f"project   {theirs.dir}#shop" in told
    assert "target    dev (duckdb " in told
