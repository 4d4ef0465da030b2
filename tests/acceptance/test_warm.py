"""Runs of `dbtorch serve` that are made of a process with dbt imported are like any other run."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.slow import SLOW_SQL, set_slow
from tests.acceptance.workspace import Running, Workspace
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can copy processes so")

FILES = {
    "dbtorch.yml": "pipelines:\n  often: {schedule: {every: 2s, catchup: none, overlap: skip}}\n",
    "models/quick.sql": "select 1 as id, '{{ target.name }}' as target",
    "models/broken.sql": "select no_such_column from {{ ref('quick') }}",
    "models/after_broken.sql": "select * from {{ ref('broken') }}",
    "models/schema.yml": """
        models:
          - {name: quick, columns: [{name: id, data_tests: [unique]}]}
    """,
}

SLOW = {"node_id": "model.shop.broken", "state": "running"}

SERVE = ("serve", "--port", "0")


@contextmanager
def served(workspace: Workspace, *words: str) -> Iterator[Running]:
    """A server; at the end it is asked to end, and nothing is left of it."""
    with workspace.started(*SERVE, *words) as server:
        yield server
        server.signal(signal.SIGTERM)
        assert server.ended().code == 0
        assert workspace.is_quiet(), workspace.processes()


def events(server: Running, kind: str, **fields: Any) -> list[dict[str, Any]]:
    """What a server has said of a kind, so far."""
    lines = [json.loads(line) for line in server.out.splitlines(keepends=True) if line[-1:] == "\n"]
    return [line for line in lines if line["event"] == kind and fields.items() <= line.items()]


def warm_run(server: Running) -> dict[str, Any]:
    """The end of a run that begins from now on, and is made warm."""
    before = len(events(server, "run_process_started"))

    def began() -> dict[str, Any] | None:
        later = events(server, "run_process_started")[before:]
        return next((event for event in later if event["warm"]), None)

    wait_for(began)
    pid = (began() or {})["pid"]
    words = {"pipeline": "often"}

    def ended() -> list[dict[str, Any]]:
        at = [e for e in events(server, "run_process_started") if e["pid"] == pid][-1]["ts"]
        return [e for e in events(server, "run_finished", **words) if e["ts"] > at]

    wait_for(ended)
    return ended()[0]


def slow_queries(server: Running) -> int:
    """How many have begun so far."""
    return len(events(server, "node", **SLOW))


def slow_run(workspace: Workspace, server: Running, before: int | None = None) -> tuple[int, int]:
    """The next run that is in its slow query, and its dbt worker: their process ids.

    ``before`` is how many had begun when it was to begin: now, or before what lets it begin.
    """
    before = slow_queries(server) if before is None else before
    wait_for(lambda: len(events(server, "node", **SLOW)) > before)
    run = int(events(server, "run_process_started")[-1]["pid"])
    children = Path(f"/proc/{run}/task/{run}/children").read_text().split()
    (worker,) = {str(pid) for pid in workspace.dbts()} & set(children)
    return run, int(worker)


def described(workspace: Workspace) -> dict[str, Any]:
    """What two runs must have in common, in the history and in what dbt has written."""
    shown = workspace.show()
    content = json.loads((workspace.dir / "target" / "run_results.json").read_text())
    manifest = json.loads((workspace.dir / "target" / "manifest.json").read_text())
    return {
        "state": shown.state,
        "states": shown.states,
        "messages": {
            n: node["attempts"][-1:] and node["attempts"][-1]["message"]
            for n, node in shown.nodes.items()
        },
        "results": {
            r["unique_id"]: (r["status"], r["message"], r["compiled_code"])
            for r in content["results"]
        },
        "args": {**content["args"], "invocation_command": ""},
        "nodes": {id: node["checksum"] for id, node in manifest["nodes"].items()},
        "version": manifest["metadata"]["dbt_version"],
        "files": sorted(p.name for p in (workspace.dir / "target").iterdir()),
    }


def test_a_warm_run_comes_to_what_a_cold_one_comes_to_and_sees_what_changes(
    workspace: Workspace,
) -> None:
    workspace.write(FILES)
    workspace.dbtorch("run", code=1)
    cold = described(workspace)
    first_id = json.loads((workspace.dir / "target" / "run_results.json").read_text())["metadata"]
    with served(workspace) as server:
        ready = json.loads(server.wait_for("warm_worker_ready"))
        assert "message" not in ready  # the project was read
        finished = warm_run(server)
        assert finished["state"] == "failed"
        workspace.write({"dbtorch.yml": "pipelines: {}\n"})  # no more of them
        wait_for(
            lambda: (
                len(events(server, "run_process_ended"))
                == len(events(server, "run_process_started"))
            )
        )
        warm = described(workspace)
        assert warm == cold
        metadata = json.loads((workspace.dir / "target" / "run_results.json").read_text())[
            "metadata"
        ]
        assert metadata["invocation_id"] != first_id["invocation_id"]

        workspace.write(
            {**FILES, "models/broken.sql": "select id + 1 as id from {{ ref('quick') }}"}
        )
        assert warm_run(server)["state"] == "success"  # dbt has seen the model

        other = workspace.dir / "profiles.yml"
        other.write_text(other.read_text().replace("warehouse", "other").replace("dev", "prod"))
        assert warm_run(server)["state"] == "success"
        assert (workspace.dir / "other.duckdb").exists()  # and the profile
        wait_for(lambda: workspace.show().said["target"] == "prod")


def test_a_warm_process_that_is_killed_is_replaced_and_runs_start_without_it_meanwhile(
    workspace: Workspace,
) -> None:
    workspace.write({**FILES, "models/broken.sql": "select 1 as id"})
    with workspace.started(*SERVE) as server:
        first = json.loads(server.wait_for("warm_worker_ready"))["pid"]
        wait_for(lambda: events(server, "run_process_started", warm=True))
        os.kill(first, signal.SIGKILL)
        server.wait_for("warm_worker_ended", "it was killed")
        wait_for(lambda: len(events(server, "warm_worker_ready")) == 2)
        assert events(server, "warm_worker_ready")[1]["pid"] != first
        assert warm_run(server)["state"] == "success"
        assert {event["state"] for event in events(server, "run_finished")} == {"success"}
        codes = {event["exit_code"] for event in events(server, "run_process_ended")}
        assert codes == {0}
        server.signal(signal.SIGKILL)  # the warm process goes with it, a run ends by itself
        assert workspace.is_quiet(), workspace.processes()


def test_a_warm_run_is_cancelled_and_ended_as_any_other(workspace: Workspace) -> None:
    workspace.write(
        {**FILES, "models/broken.sql": SLOW_SQL, "models/after_broken.sql": "select 1 as id"}
    )
    set_slow(workspace, slow=False)
    with workspace.started(*SERVE) as server:
        warm_run(server)
        set_slow(workspace, slow=True)
        run, worker = slow_run(workspace, server)
        assert events(server, "run_process_started", warm=True, pid=run)
        assert b"dbtorch_worker.warm" in Path(f"/proc/{worker}/cmdline").read_bytes()
        assert os.getsid(worker) == os.getpgid(worker) == worker
        run_id = events(server, "node", **SLOW)[-1]["run_id"]
        environ = Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
        assert f"DBTORCH_RUN_ID={run_id}".encode() in environ
        workspace.dbtorch("cancel", run_id, "--reason", "too slow")
        wait_for(lambda: events(server, "run_finished", run_id=run_id))
        assert events(server, "run_finished", run_id=run_id)[0]["state"] == "cancelled"
        wait_for(lambda: not Path(f"/proc/{worker}").exists())

        run, worker = slow_run(workspace, server)
        before = slow_queries(server)  # the run that is started again may be as quick as we are
        os.kill(run, signal.SIGKILL)  # its worker ends the query, and itself
        wait_for(lambda: not Path(f"/proc/{worker}").exists())

        slow_run(workspace, server, before)
        server.signal(signal.SIGTERM)  # in the midst of a warm run
        assert server.ended().code == 0
        assert workspace.is_quiet(), workspace.processes()


def test_without_it_no_process_is_kept(workspace: Workspace) -> None:
    workspace.write({**FILES, "models/broken.sql": "select 1 as id"})
    with served(workspace, "--no-warm") as server:
        wait_for(lambda: events(server, "run_finished", state="success"))
        assert events(server, "run_process_started", warm=False)
        assert "warm_worker" not in server.out
