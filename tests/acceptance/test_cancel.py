"""`dbtorch cancel`, from another terminal."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from tests.acceptance.slow import MODELS, SLOW, set_slow, slow, wait_for_slow
from tests.acceptance.workspace import Workspace
from tests.engines import PROCESS_2, SESSION_1_11, Can, over, shows
from tests.waiting import eventually, wait_for

RUN = ("run", "--log-format", "json")

STUBBORN = "trap '' INT TERM; touch {0}; while :; do sleep 0.2; echo {0} >> beats.txt; done"


@over(SESSION_1_11, PROCESS_2)
@shows(Can.CANCEL_RUN)
def test_a_run_is_cancelled_from_another_terminal(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started(*RUN) as run:
        wait_for_slow(run)
        said = workspace.dbtorch("cancel", "latest", "--reason", "too slow").out
        done = run.ended()
        assert done.code == 1  # no signal ended it
        assert workspace.is_quiet()
    shown = workspace.show()
    assert said == f"run {shown.id} was cancelled\n"
    assert shown.state == "cancelled"
    assert shown.states == {
        "quick": "success",
        "slow": "cancelled",
        "after_slow": "cancelled",
        "publish": "cancelled",
    }
    (asked,) = shown.said["actions"]
    assert (asked["action"], asked["reason"]) == ("cancel", "too slow")
    assert asked["handled_at"]
    reason = f"the run was cancelled by {asked['actor']}: too slow"
    assert {shown.nodes[name]["reason"] for name in ("slow", "after_slow")} == {reason}
    assert shown.nodes["slow"]["attempts"][0]["finished_at"]
    assert workspace.results().keys() == MODELS
    (finished,) = done.events("run_finished")
    assert finished["state"] == "cancelled"
    assert workspace.query("select id from quick") == [(1,)]  # the file is free

    set_slow(workspace, slow=False)
    workspace.dbtorch("retry")  # and it is not cancelled by what was asked of it before
    assert workspace.show().state == "success"


@over(SESSION_1_11, PROCESS_2)
@shows(Can.CANCEL_NODE)
def test_one_node_is_cancelled_and_the_run_goes_on(workspace: Workspace) -> None:
    slow(workspace)
    workspace.write(
        {
            "dbtorch.yml": f"""
                steps:
                  publish: {{command: "echo published >> published.txt", after: [after_slow]}}
                  stubborn: {{command: "{STUBBORN.format("stubborn")}", opens_database: false}}
                  waits: {{command: "touch waits", after: ["step:stubborn"]}}
                  late: {{command: "until [ -e go ]; do sleep 0.1; done", opens_database: false}}
            """
        }
    )
    with workspace.started(*RUN, "--grace", "1") as run:
        wait_for_slow(run)
        assert eventually((workspace.dir / "stubborn").exists)
        said = workspace.dbtorch("cancel", "latest", "slow", "stubborn").out
        beats = workspace.lines("beats.txt")
        assert run.process.poll() is None
        workspace.write({"go": ""})
        assert run.ended().code == 1
        assert workspace.is_quiet()
    assert said == f"{SLOW} was cancelled\nstep.stubborn was cancelled\n"
    assert workspace.lines("beats.txt") == beats  # nothing of it was left
    shown = workspace.show()
    assert shown.state == "cancelled"  # not all was done, and nothing failed
    assert shown.names("success") == {"quick", "late"}
    assert shown.names("cancelled") == {"slow", "after_slow", "publish", "stubborn", "waits"}
    assert shown.nodes["publish"]["reason"] == f"{SLOW} was cancelled"
    assert shown.tries["slow"] == shown.tries["stubborn"] == 1
    results = workspace.results()
    assert results.keys() == MODELS
    assert results["model.shop.after_slow"] == "skipped"


@pytest.mark.postgres
def test_with_a_shared_store_it_is_cancelled_from_another_machine(
    workspace: Workspace, postgres_url: str
) -> None:
    slow(workspace)
    store = {"DBTORCH_DATABASE_URL": postgres_url, "DBTORCH_PROJECT_ID": "acme/shop"}
    elsewhere = workspace.dir.parent / "elsewhere"  # knows the project, and has no file of the run
    elsewhere.mkdir()
    shutil.copy(workspace.dir / "dbt_project.yml", elsewhere)
    with workspace.started(*RUN, env=store) as run:
        run.wait_for_node(SLOW)
        said = workspace.dbtorch("cancel", "latest", cwd=elsewhere, env=store).out
        assert run.ended().code == 1
    assert "was cancelled" in said
    shown = workspace.show(cwd=elsewhere, env=store)
    assert (shown.state, shown.states["slow"]) == ("cancelled", "cancelled")


def test_nobody_has_to_wait_for_it(workspace: Workspace) -> None:
    stubborn = "trap 'touch asked' INT TERM; touch ready; until [ -e go ]; do sleep 0.1; done"
    workspace.write({"dbtorch.yml": f'steps: {{slow: {{command: "{stubborn}"}}}}'})
    with workspace.started(*RUN, "--grace", "600") as run:
        wait_for((workspace.dir / "ready").exists)
        said = workspace.dbtorch("cancel", "latest", "slow", "--no-wait").out
        assert "was asked to cancel step.slow" in said
        wait_for((workspace.dir / "asked").exists)  # one that ends well before it has succeeded
        assert workspace.show().states["slow"] == "running"
        (workspace.dir / "go").touch()
        assert run.ended().code == 1
    assert workspace.show().states["slow"] == "cancelled"


def test_what_cannot_be_cancelled_is_refused_in_one_sentence(workspace: Workspace) -> None:
    slow(workspace)
    assert "no run history yet" in workspace.refused("cancel", "latest")
    with workspace.started(*RUN) as run:
        run.wait_for_node(SLOW)
        assert "did you mean slow" in workspace.refused("cancel", "latest", "slwo")
        assert "model.shop.quick is over" in workspace.refused("cancel", "latest", "quick")
        assert run.process.poll() is None
        run.signal(signal.SIGINT)
        run.ended()
    said = workspace.refused("cancel", "latest")
    assert "is over (cancelled); there is nothing to cancel" in said
    assert "there is no run '1999'" in workspace.refused("cancel", "1999")
    assert workspace.show().said["actions"] == []


def test_a_run_whose_supervisor_was_killed_is_closed(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started(*RUN) as run:
        run.wait_for_node(SLOW)
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        dead = workspace.show()
        assert (dead.state, dead.states["slow"]) == ("interrupted", "failed")
        assert "running" not in workspace.dbtorch("show", "--all").out
        assert "its process is gone" in workspace.refused("cancel", "latest", "slow")
        said = workspace.dbtorch("cancel", "latest").out
        assert workspace.is_quiet()
    assert said == f"run {dead.id} had lost its process; it is cancelled now\n"
    shown = workspace.show()
    assert shown.state == "cancelled"
    assert shown.states == {
        "quick": "success",
        "slow": "failed",
        "after_slow": "cancelled",
        "publish": "cancelled",
    }
    (lost,) = shown.nodes["slow"]["attempts"]
    assert lost["message"].startswith("lost: the process of the run")

    set_slow(workspace, slow=False)
    workspace.dbtorch("retry")
    assert workspace.show().state == "success"
