"""`dbtorch prune`: runs, and the files of runs."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.adapters.store import open_store
from dbtorch.cli.main import cli
from dbtorch.core.model.state import RunState
from tests.stores import NOON, a_node, a_run, after


@pytest.fixture
def shop(tmp_path):
    """A project with three runs of last March, and logs: one of no run, one of today."""
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    store = open_store(None, tmp_path)
    runs = tmp_path / ".dbtorch" / "runs"
    for number, run_id in enumerate(("one", "two", "three")):
        store.begin(a_run(run_id, started_at=after(number * 100)), [a_node("model.a")])
        store.end(run_id, RunState.SUCCESS, after(number * 100 + 50))
    store.close()
    for name in ("one", "two", "three", "forgotten", "fresh"):
        (runs / name / "nodes").mkdir(parents=True)
        (runs / name / "nodes" / "a.log").write_text("x" * 1000)
        if name != "fresh":
            os.utime(runs / name, (NOON.timestamp(), NOON.timestamp()))
    return tmp_path


def prune(shop, *words):
    done = CliRunner().invoke(cli, ["prune", "--project-dir", str(shop), *words])
    return done.exit_code, done.output


def left(shop):
    return sorted(path.name for path in (shop / ".dbtorch" / "runs").iterdir())


def test_runs_and_their_files_go(shop):
    all_of_them = ["forgotten", "fresh", "one", "three", "two"]
    code, said = prune(shop, "--keep", "1h", "--dry-run")
    assert (code, said.startswith("would be removed: 2 runs that ended before ")) == (0, True)
    assert left(shop) == all_of_them
    code, said = prune(shop, "--keep", "1h")
    assert "removed: 2 runs that ended before " in said
    assert said.rstrip().endswith("(3 folders of logs, 0.0 MB)")
    assert left(shop) == ["fresh", "three"]  # the newest run stays, and what no run has is young
    code, said = prune(shop, "--keep", "1h")
    assert (code, said.startswith("nothing ended before ")) == (0, True)


def test_what_was_uploaded_goes_too(shop):
    url = (shop / "kept").as_uri()
    kept = open_artifacts(url, f"{shop}#shop", shop)
    for name in ("one", "three", "forgotten", "fresh"):
        kept.put(name, "nodes/a.log", [b"a"])
        if name != "fresh":
            path = Path(unquote(urlsplit(kept.url).path), name, "nodes", "a.log")
            os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    code, said = prune(shop, "--keep", "1h", "--artifacts-url", url)
    assert (code, said.rstrip().endswith(f" 0.0 MB; 2 folders at {kept.url})")) == (0, True)
    assert kept.runs() == ["fresh", "three"]
    done = CliRunner().invoke(
        cli, ["prune", "--project-dir", str(shop), "--keep", "1h", "--artifacts-url", __file__]
    )
    assert str(done.exception).startswith("not everything that may go is gone: ")


def test_dbtorch_yml_may_say_how_long(shop):
    done = CliRunner().invoke(cli, ["prune", "--project-dir", str(shop)])
    said = str(done.exception)
    assert said.startswith("nothing says how long runs are kept: give --keep, such as --keep 90d")
    (shop / "dbtorch.yml").write_text("version: 1\nretention: 2h\n")
    assert prune(shop)[0] == 0
    assert left(shop) == ["fresh", "three"]


def test_what_is_kept_for_years_stays(shop):
    assert prune(shop, "--keep", "3650d")[1].startswith("nothing ended before ")
