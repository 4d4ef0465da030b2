"""Files of runs that another machine has made: uploaded, read, removed, and what is said of them."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.adapters.run_files import RunFiles
from dbtorch.cli.text.log import log_json, log_text
from dbtorch.cli.text.summary import summary_text
from dbtorch.core.errors import UsageError
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.summary import summarize
from dbtorch.core.history.uploaded import Uploaded
from dbtorch.core.model.events import Changed, Outcome
from dbtorch.core.model.state import State
from dbtorch.schedule.serve import ServeOptions, serve
from dbtorch.service.doctor.examine import _uploads
from dbtorch.service.history.logs import find_log
from dbtorch.service.history.remote_files import RemoteRemoval
from dbtorch.service.project.known_secrets import scrubber_of_environment
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.service.run.uploading import RunUploads
from dbtorch.testing import MemoryArtifacts
from tests.unit.story import NOON, Told, broken_shop

STG = "model.shop.stg_orders"
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def shop():
    return broken_shop()


@pytest.fixture
def artifacts() -> MemoryArtifacts:
    return MemoryArtifacts()


def reading(shop, artifacts, folder, node=STG, **given):
    return find_log(
        shop.store, "latest", node, project_dir=folder, artifacts=lambda: artifacts, **given
    )


def keep(shop, artifacts, text: bytes, node=STG) -> str:
    name = f"nodes/{node}.1.log"
    artifacts.put(shop.record.run_id, name, [text])
    return f"{artifacts.url}/{shop.record.run_id}/{name}"


# -------------------------------------------------------------------- reading


def test_a_log_of_another_machine_is_fetched_once_when_it_is_read(shop, artifacts, tmp_path):
    url = keep(shop, artifacts, b"first\nsecond\n")
    heading, *lines = log_text(reading(shop, artifacts, tmp_path))
    assert heading.endswith(f", {url}")
    assert lines == ["first\nsecond"]
    artifacts.down = "nobody is asked again"
    found = json.loads(log_json(reading(shop, artifacts, tmp_path)))
    assert (found["log"], found["exists"], found["url"]) == ("first\nsecond", True, None)
    assert Path(found["path"]).read_text() == "first\nsecond\n"


def test_as_json_it_is_fetched_too(shop, artifacts, tmp_path):
    url = keep(shop, artifacts, b"first\n")
    found = json.loads(log_json(reading(shop, artifacts, tmp_path)))
    assert (found["log"], found["exists"], found["url"]) == ("first", True, url)


def test_a_log_that_was_never_uploaded_is_one_sentence(shop, artifacts, tmp_path):
    lines = list(log_text(reading(shop, artifacts, tmp_path)))
    url = f"{artifacts.url}/{shop.record.run_id}/nodes/{STG}.1.log"
    assert lines[1] == (
        f"# the log is not on this machine, and not at {url}: {shop.record.host} may have been gone"
        " before it was uploaded"
    )
    found = json.loads(log_json(reading(shop, artifacts, tmp_path)))
    assert (found["log"], found["exists"]) == ("", False)
    assert not list((tmp_path / ".dbtorch").rglob("*.part"))


def test_a_place_that_does_not_answer_is_one_sentence(shop, artifacts, tmp_path):
    artifacts.down = "no route to it"
    with pytest.raises(UsageError) as caught:
        list(log_text(reading(shop, artifacts, tmp_path)))
    assert str(caught.value) == (
        "the log is not on this machine, and cannot be fetched:"
        " memory://runs/acme_shop: no route to it"
    )


def test_a_log_that_is_followed_from_elsewhere_comes_when_it_is_uploaded(shop, artifacts, tmp_path):
    waited = []

    def pause(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            keep(shop, artifacts, b"at last\n")

    found = reading(shop, artifacts, tmp_path, follow=True, pause=pause, is_alive=lambda _: False)
    assert list(found.pieces()) == ["at last"]
    assert len(waited) == 3


def test_of_an_attempt_that_runs_elsewhere_it_says_where_its_log_is(shop, artifacts, tmp_path):
    underway = Told(seconds={STG: [600]}, until=NOON + timedelta(seconds=30))
    for is_alive, said in ((True, "as long as the attempt runs"), (False, "may have been gone")):
        found = find_log(
            underway.store,
            "latest",
            STG,
            project_dir=tmp_path,
            artifacts=lambda: artifacts,
            is_alive=lambda _, alive=is_alive: alive,
        )
        assert said in [*log_text(found)][1]


# -------------------------------------------------------------------- uploading


@pytest.fixture
def files(tmp_path) -> RunFiles:
    found = RunFiles(tmp_path / "state", "r1")
    (found.root / "nodes").mkdir(parents=True)
    (found.root / "private").mkdir()
    (found.root / "private" / "dbt_args.json").write_text(json.dumps(["--vars", SECRET]))
    return found


def uploading(artifacts, files, warnings=None, began=None):
    return RunUploads(
        artifacts,
        files,
        began=began or datetime.fromtimestamp(0, UTC),
        hide=Scrubber([SECRET]),
        warn=(warnings if warnings is not None else []).append,
    )


def ended(node: str, number: int = 1) -> Changed:
    return Changed(
        node_id=node,
        attempt=number,
        before=State.RUNNING,
        state=State.SUCCESS,
        at=NOON,
        outcome=Outcome(state=State.SUCCESS),
    )


def test_logs_go_as_attempts_end_and_without_secrets(artifacts, files):
    uploads = uploading(artifacts, files)
    files.path("model.a", 1).write_text(f"password {SECRET}, ftp://me:0penSesame@host/in")
    uploads([ended("model.a")])
    url = uploads.log_url("model.a", 1)
    uploads.finish(None)
    assert uploads.log_at("model.a", 1) == url == f"{artifacts.url}/r1/nodes/model.a.1.log"
    assert uploads.log_at("model.b", 1) == str(files.path("model.b", 1))
    assert artifacts.files["r1"] == {"nodes/model.a.1.log": b"password *****, ftp://*****@host/in"}


def test_at_the_end_everything_else_goes_but_what_is_private(artifacts, files, tmp_path):
    for node in ("model.a", "model.b"):
        files.path(node, 1).write_text(node)
    files.dbt_log.write_text("dbt said")
    target = tmp_path / "target"
    target.mkdir()
    for name in ("manifest.json", "run_results.json", "graph.gpickle"):
        (target / name).write_text("{}")
    done = uploading(artifacts, files).finish(target)
    assert sorted(artifacts.files["r1"]) == [
        "dbt.19700101T000000Z.log",
        "nodes/model.a.1.log",
        "nodes/model.b.1.log",
        "target/manifest.json",
        "target/run_results.json",
    ]
    assert (done.files, done.left) == (5, 0)


def test_artifacts_of_another_run_stay_and_old_logs_go_once(artifacts, files, tmp_path):
    began = datetime(2026, 3, 1, tzinfo=UTC)
    for path in (files.path("model.a", 1), files.path("model.b", 1), tmp_path / "manifest.json"):
        path.write_text("{}")
        os.utime(path, (began.timestamp() - 60,) * 2)
    (tmp_path / "sources.json").write_text("{}")
    artifacts.put("r1", "nodes/model.a.1.log", [b"{ "])  # as long, so it is taken for the same
    uploading(artifacts, files, began=began).finish(tmp_path)
    assert artifacts.files["r1"] == {
        "nodes/model.a.1.log": b"{ ",
        "nodes/model.b.1.log": b"{}",
        "target/sources.json": b"{}",
    }
    (tmp_path / "run_results.json").write_text("{}")
    uploading(artifacts, files, began=began).finish(tmp_path)
    assert artifacts.files["r1"]["target/manifest.json"] == b"{}"  # which these are results of


def test_runs_that_the_history_removes_go_too_and_hold_nobody_up(artifacts, files):
    artifacts.put("old", "a.log", [b"a"])
    uploads = uploading(artifacts, files)
    uploads.remove(["old"])
    uploads.finish(None)
    assert artifacts.runs() == []


def test_a_removal_that_hangs_is_left_behind(files):
    let_go = threading.Event()

    class Hangs(MemoryArtifacts):
        def remove(self, run_id):
            let_go.wait()

    uploads = uploading(Hangs(), files)
    uploads.remove(["old"])
    assert uploads.finish(None, patience=0.01).left == 0
    let_go.set()
    uploads._removes.join()


def test_what_could_not_be_uploaded_is_counted_in_the_summary(shop):
    uploaded = Uploaded(url="s3://b/acme/r1", files=12, left=2, error="no route to it")
    text = summary_text(summarize(shop.record, uploaded=uploaded))
    assert "  WARN  2 of 14 files not uploaded to s3://b/acme/r1\n" in text
    assert "uploaded" not in summary_text(summarize(shop.record))


# -------------------------------------------------------------------- removing


def test_files_of_removed_runs_and_of_forgotten_ones_go(shop, artifacts):
    for run_id in ("removed", "forgotten", "young", shop.record.run_id):
        artifacts.put(run_id, "a.log", [b"a"])
        artifacts.times[run_id] = NOON
    artifacts.times["young"] = datetime(2026, 3, 2, tzinfo=UTC)
    before = datetime(2026, 3, 1, 18, tzinfo=UTC)
    for dry_run in (True, False):
        removal = RemoteRemoval(artifacts)
        removal.of(shop.store, before, {"removed"}, dry_run=dry_run)
        assert (removal.folders, removal.problem) == (2, "")
    assert artifacts.runs() == [shop.record.run_id, "young"]
    artifacts.down = "no route to it"
    removal.of(shop.store, before, {"removed"})
    assert "no route to it" in removal.problem


# -------------------------------------------------------------------- the URL


def test_what_is_no_place_is_refused_with_what_to_type(tmp_path, monkeypatch):
    pytest.importorskip("fsspec")

    def refused(url: str) -> str:
        with pytest.raises(UsageError) as caught:
            open_artifacts(url, "shop", tmp_path)
        return str(caught.value)

    assert "begins with nosuch, which fsspec does not know" in refused("nosuch://x/y")
    assert refused("file://").startswith("--artifacts-url 'file://' names no folder")
    for url in ("s3://[x", "http://[x", "simplecache::s3://[x"):
        assert refused(url) == f"--artifacts-url {url} is no URL: Invalid IPv6 URL"
    assert SECRET not in refused(f"sftp://me:{SECRET}@[x/runs")
    for url in ("s3://", "s3::", "simplecache::s3://"):
        assert refused(url).startswith(f"--artifacts-url {url} names no bucket, host or folder")
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "s3fs" else there(name)
    )
    said = refused("s3://me:0penSesame@bucket/runs")
    assert said.startswith("--artifacts-url s3://*****@bucket/runs needs s3fs, which is not")
    assert "pip install s3fs`" in said
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert "pip install 'dbtorch[artifacts]' s3fs`" in refused("s3://bucket/runs")
    assert "needs fsspec" in refused("gs://bucket/runs")
    open_artifacts("file:///runs", "shop", tmp_path)  # needs neither


def test_folders_are_told_apart_and_count_from_the_project(tmp_path):
    urls = {
        open_artifacts("runs", name, tmp_path).url for name in ("acme/shop", "acme_shop", "../shop")
    }
    assert len(urls) == 3
    assert all(url.startswith(f"{tmp_path.as_uri()}/runs/") for url in urls)
    assert all(url.count("/") == tmp_path.as_uri().count("/") + 2 for url in urls)


def test_the_password_of_the_url_is_hidden_wherever_it_comes(tmp_path):
    environ = {"DBTORCH_ARTIFACTS_URL": f"sftp://me:{SECRET}@host/runs"}
    assert scrubber_of_environment(environ)(f"said {SECRET}") == "said *****"


def test_serve_hands_it_on_to_the_runs_it_starts():
    options = ServeOptions(artifacts_url="s3://bucket/runs", environ={"HOME": "/root"})
    assert options.environ_of_runs() == {
        "HOME": "/root",
        "DBTORCH_ARTIFACTS_URL": "s3://bucket/runs",
    }


def test_serve_refuses_what_its_runs_would(tmp_path):
    pytest.importorskip("fsspec")
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    with pytest.raises(UsageError, match="is no URL"):
        serve(ServeOptions(project_dir=str(tmp_path), artifacts_url="s3://[x", port=None))
    assert not (tmp_path / ".dbtorch").exists()


def test_doctor_tries_to_write_there(tmp_path):
    pytest.importorskip("fsspec")

    def finding(url: str | None):
        options = RunOptions(project_dir=str(tmp_path), artifacts_url=url, environ={})
        return _uploads(open_project(str(tmp_path), {}), options)

    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    assert finding(None) is None
    found = finding("runs")
    assert (found.ok, found.check) == (True, "uploads")
    assert found.found.startswith(f"{tmp_path.as_uri()}/runs/")
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert not finding("dbt_project.yml").ok
    assert "which fsspec does not know" in finding("nosuch://x").found


def test_without_a_url_a_run_imports_nothing_of_it():
    code = "import sys, dbtorch.service.run.run, dbtorch.service.run.execution; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "dbtorch.service.run.execution" in imported
    unwanted = ("fsspec", "dbtorch.app.uploads", "dbtorch.service.run.uploading")
    assert not imported & {*unwanted, "dbtorch.adapters.artifacts"}
