"""Stateless pods: the history is in Postgres, logs and artifacts are in S3, and nothing is shared."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.workspace import Workspace
from tests.engines import PROCESS_2, over
from tests.s3_server import S3
from tests.waiting import wait_for

SECRET = "correct-horse-battery"

FILES = {
    "dbtorch.yml": """
        version: 1
        defaults: {retry: {retries: 0}}
        steps:
          load:
            command: "echo rows from ftp://etl:0penSesame@host/in; exit ${LOAD_EXIT:-0}"
            produces: [source:raw.orders]
          export: {command: "echo begun; exec ${EXPORT:-true}", after: [orders]}
    """,
    "models/sources.yml": """
        sources: [{name: raw, schema: main, tables: [{name: orders, identifier: ready}]}]
    """,
    "models/ready.sql": "select 1 as id",
    "models/orders.sql": """
        -- depends_on: {{ ref('ready') }}
        select count(*) as n from {{ source('raw', 'orders') }}
    """,
}

#: The server of names does not answer, which no thread can be got out of.
NO_NAMES = """
    import socket
    import threading

    found = socket.getaddrinfo

    def getaddrinfo(host, *more, **given):
        if host in ("store.example", b"store.example"):
            threading.Event().wait()
        return found(host, *more, **given)

    socket.getaddrinfo = getaddrinfo
"""

Pod = Callable[[str], Workspace]


@pytest.fixture
def url(s3_server: S3) -> str:
    return s3_server.bucket()


@pytest.fixture
def pod(tmp_path: Path, postgres_url: str, s3_server: S3, url: str) -> Pod:
    """Makes pods of one image: they share the warehouse, and no folder."""

    def made(name: str) -> Workspace:
        workspace = Workspace(tmp_path / name, FILES)
        warehouse = tmp_path / "warehouse.duckdb"
        target = f"{{type: duckdb, path: {warehouse}, threads: 2}}"
        workspace.write(
            {"profiles.yml": f"shop: {{target: dev, outputs: {{dev: {target}}}}}"},
        )
        workspace.env |= {
            **s3_server.environ,
            "DBTORCH_DATABASE_URL": postgres_url,
            "DBTORCH_ARTIFACTS_URL": url,
            "DBTORCH_PROJECT_ID": "acme/shop",
            "DBTORCH_LEASE_LIFETIME": "6",
            "DBT_ENV_SECRET_KEY": SECRET,
        }
        return workspace

    return made


def store_of(s3_server: S3) -> Any:
    """The files that are in S3 now."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    given = s3_server.environ
    return s3fs.S3FileSystem(
        endpoint_url=s3_server.endpoint,
        key=given["AWS_ACCESS_KEY_ID"],
        secret=given["AWS_SECRET_ACCESS_KEY"],
        use_listings_cache=False,
    )


def kept(url: str, s3_server: S3) -> dict[str, str]:
    """Every file of the only run that there are files of, by its name within the run."""
    files, base = store_of(s3_server), url.removeprefix("s3://")
    found = {name.removeprefix(f"{base}/"): files.cat_file(name) for name in files.find(base)}
    assert len({tuple(name.split("/")[:2]) for name in found}) <= 1
    return {name.split("/", 2)[2]: text.decode() for name, text in found.items()}


@pytest.mark.postgres
def test_a_run_that_failed_in_one_pod_is_finished_by_another(pod: Pod, url: str, s3_server: S3):
    first = pod("a")
    secret = ("--vars", f"{{DBT_ENV_SECRET_X: {SECRET}-too}}")
    words = ("--log-format", "json", *secret)
    done = first.dbtorch("run", *words, code=1, env={"LOAD_EXIT": "1"})
    (end,) = done.events("run_finished")
    run_id, files = end["run_id"], kept(url, s3_server)
    at = f"{url}/acme_shop-d21b2cdf/{run_id}"
    assert end["uploaded"] == {"url": at, "files": len(files), "left": 0, "error": None}
    assert end["failures"][0]["log"] == f"{at}/nodes/step.load.1.log"
    assert {name for name in files if not name.startswith("dbt.")} == {
        "nodes/model.shop.ready.1.log",
        "nodes/step.load.1.log",
        "target/manifest.json",
        "target/run_results.json",
    }
    assert SECRET not in json.dumps(files)
    assert "0penSesame" not in json.dumps(files)
    shutil.rmtree(first.dir)  # the pod is gone, with everything it had
    shutil.rmtree(first.home)

    second = pod("b")
    shown = second.show()
    assert (shown.id, shown.state) == (run_id, "failed")
    log = second.dbtorch("logs", run_id, "load").out
    assert f", {at}/nodes/step.load.1.log\nrows from ftp://*****@host/in\n" in log
    said = second.dbtorch("retry", run_id, code=2).err
    assert "is not here: give the retry the same --vars again" in said
    again = second.dbtorch("retry", run_id, *words)
    (end,) = again.events("run_finished")
    assert (end["state"], end["uploaded"]["left"]) == ("success", 0)
    files = kept(url, s3_server)
    assert {"nodes/step.load.1.log", "nodes/step.load.2.log"} <= files.keys()
    assert len([name for name in files if name.startswith("dbt.")]) == 2  # of each pod one
    results = json.loads(files["target/run_results.json"])["results"]
    assert {one["unique_id"] for one in results} == {"model.shop.ready", "model.shop.orders"}


@pytest.mark.postgres
def test_what_a_pod_that_was_killed_had_uploaded_is_there_and_the_rest_is_said_to_be_missing(
    pod: Pod, url: str, s3_server: S3
):
    first = pod("a")
    words = ("run", "--run-id", "job-1", "--log-format", "json")
    with first.started(*words, env={"EXPORT": "sleep 3600"}) as run:
        run.wait_for_node("step.export")
        files, log = (
            store_of(s3_server),
            f"{url}/acme_shop-d21b2cdf/job-1/nodes/model.shop.orders.1.log",
        )
        wait_for(lambda: files.exists(log))
        run.signal(signal.SIGKILL)
    shutil.rmtree(first.dir)

    second = pod("b")
    assert "create" in second.dbtorch("logs", "job-1", "orders").out
    said = second.dbtorch("logs", "job-1", "export").out
    assert f"not at {url}/acme_shop-d21b2cdf/job-1/nodes/step.export.1.log: " in said
    assert "may have been gone before it was uploaded" in said
    second.dbtorch("run", "--run-id", "job-1", "--wait", "2m")
    assert "begun" in second.dbtorch("logs", "job-1", "export", "--attempt", "2").out


def test_a_place_that_is_down_changes_nothing_but_a_warning(workspace: Workspace, s3_server: S3):
    workspace.write(FILES)
    workspace.env |= {**s3_server.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    words = ("--artifacts-url", "s3://bucket/runs", "--log-format", "json")
    for code, load in ((0, "0"), (1, "1")):
        done = workspace.dbtorch("run", *words, code=code, env={"LOAD_EXIT": load})
        warned = [one for one in done.events("note") if one["level"] == "warning"]
        assert len(warned) == 1
        assert "Could not connect to the endpoint URL" in warned[0]["message"]
        (end,) = done.events("run_finished")
        assert end["uploaded"]["files"] == 0
        assert end["uploaded"]["left"] >= 4
        assert Path(end["failures"][0]["log"]).is_file() if code else not end["failures"]


@over(PROCESS_2)  # the quickest, where nothing can be a copy of what has dbt
def test_a_place_that_hangs_does_not_keep_a_run_that_is_to_end(workspace: Workspace, s3_server: S3):
    workspace.write(FILES)
    workspace.write({"hang/sitecustomize.py": NO_NAMES})
    workspace.env |= {
        **s3_server.environ,
        "AWS_ENDPOINT_URL": "http://store.example",
        "EXPORT": "sleep 3600",
        "PYTHONPATH": str(workspace.dir / "hang"),
    }
    words = ("--artifacts-url", "s3://bucket/runs", "--log-format", "json", "--grace", "1s")
    with workspace.started("run", *words) as run:
        run.wait_for_node("step.export")
        run.signal(signal.SIGTERM)
        done = run.ended()
    assert done.code == 128 + signal.SIGTERM
    (end,) = done.events("run_finished")
    assert end["uploaded"]["left"] >= 4


def test_without_the_package_nothing_begins(workspace: Workspace):
    pytest.importorskip("fsspec")
    workspace.write(FILES)
    said = workspace.refused("run", "--artifacts-url", "nosuch://bucket/runs")
    assert "begins with nosuch, which fsspec does not know" in said
