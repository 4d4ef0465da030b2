"""Signals, sudden deaths, and two runs at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.acceptance.slow import MODELS, PROFILES, SLOW, set_slow, slow, wait_for_slow
from tests.acceptance.workspace import Workspace, eventually
from tests.engines import PROCESS_2, SESSION_1_11, Can, Driven, over, shows

RUN = ("run", "--log-format", "json")


@over(SESSION_1_11, PROCESS_2)
@shows(Can.SIGNALS)
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),  # Ctrl-C
        (signal.SIGTERM, 143),  # what schedulers and containers send
    ],
)
def test_a_signal_cancels_queries_and_closes_properly(
    workspace: Workspace, number: signal.Signals, code: int
) -> None:
    slow(workspace)
    with workspace.started(*RUN, "--report", "run.html") as run:
        wait_for_slow(run)
        run.signal(number)
        done = run.ended()
        assert done.code == code
        assert workspace.is_quiet()
    shown = workspace.show()
    assert shown.state == "cancelled"
    assert f"cancelled · {shown.id}" in (workspace.dir / "run.html").read_text()
    assert shown.states == {
        "quick": "success",
        "slow": "cancelled",
        "after_slow": "cancelled",
        "publish": "cancelled",
    }
    assert shown.nodes["slow"]["reason"] == f"the run got {number.name}"
    assert shown.nodes["slow"]["attempts"][0]["finished_at"]
    assert workspace.results().keys() == MODELS
    (finished,) = done.events("run_finished")
    assert finished["state"] == "cancelled"


def test_a_second_run_is_told_who_holds_the_pipeline(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started(*RUN) as run:
        run.wait_for_node(SLOW)
        shown = workspace.show()
        assert (shown.state, shown.states["slow"]) == ("running", "running")
        since = shown.said["started_at"][:10]
        for command in ("run", "retry"):
            said = workspace.dbtorch(command, code=2).err
            assert "shop/default is already being run by" in said
            assert f"{shown.id} (pid {run.pid} on " in said
            assert f"since {since}" in said
        assert len(workspace.runs()) == 1
        # looking does not disturb
        assert "4 nodes" in workspace.dbtorch("plan").out
        assert run.process.poll() is None


def test_a_second_signal_leaves_at_once(workspace: Workspace) -> None:
    workspace.write(
        {
            "dbtorch.yml": """
                steps:
                  stubborn:
                    command: |
                      trap 'touch asked' INT TERM
                      (trap '' INT TERM; sleep 7200) & : > ready
                      while :; do wait; done
            """
        }
    )
    with workspace.started("run", "--grace", "600") as run:
        assert eventually((workspace.dir / "ready").exists)
        run.signal(signal.SIGINT)
        assert eventually((workspace.dir / "asked").exists)  # before it is killed
        assert run.process.poll() is None
        run.signal(signal.SIGINT)
        assert run.ended().code == 130
        assert workspace.is_quiet()
    assert workspace.show().state == "interrupted"


def test_a_signal_before_anything_runs_leaves_nothing_behind(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started("run") as run:
        # dbt is being imported
        assert eventually(lambda: any(_worker_logs(workspace)))
        run.signal(signal.SIGINT)
        done = run.ended()
        assert done.code == 130
        assert "Stopped by SIGINT: the run had not begun; nothing was executed" in done.all
        assert workspace.is_quiet()
    assert workspace.runs() == []
    set_slow(workspace, slow=False)
    workspace.dbtorch("run")  # nobody holds the pipeline any more


@over(SESSION_1_11, PROCESS_2)
@shows(Can.DEAD_SUPERVISOR)
def test_a_killed_supervisor_takes_its_dbt_along_and_can_be_retried(
    workspace: Workspace, driven: Driven
) -> None:
    slow(workspace)
    with workspace.started(*RUN) as run:
        wait_for_slow(run)
        os.kill(run.pid, signal.SIGKILL)
        run.process.wait()
        assert workspace.is_quiet()
    dead = workspace.show()
    assert dead.state == "interrupted"
    assert "dbtorch retry" in workspace.dbtorch("show").out
    assert [one["state"] for one in workspace.dbtorch("runs", "--format", "json").json()] == [
        "interrupted"
    ]

    set_slow(workspace, slow=False)
    workspace.dbtorch("retry")
    shown = workspace.show()
    assert (shown.id, shown.state) == (dead.id, "success")
    # also where dbt had been given all of it: what it had not begun waits as before
    assert shown.tries == {"quick": 1, "slow": 2, "after_slow": 1, "publish": 1}
    assert workspace.lines("published.txt") == ["published"]
    assert workspace.results().keys() == MODELS


@over(SESSION_1_11, PROCESS_2)
@shows(Can.DEAD_DBT)
def test_a_killed_dbt_is_replaced_and_the_run_goes_on(workspace: Workspace, driven: Driven) -> None:
    slow(workspace)
    with workspace.started(*RUN, "--retry-delay", "0") as run:
        wait_for_slow(run)
        set_slow(workspace, slow=False)
        os.kill(workspace.dbts()[0], signal.SIGKILL)
        done = run.ended()
    assert done.code == 0, done.out
    shown = workspace.show()
    assert shown.tries == {"quick": 1, "slow": 2, "after_slow": 1, "publish": 1}
    lost, _ = shown.nodes["slow"]["attempts"]
    assert lost["failure_class"] == "transient"
    killed = "was ended by SIGKILL" if driven.is_process else "worker died (killed by SIGKILL)"
    assert killed in lost["message"]
    assert set(workspace.results().values()) == {"success"}
    assert workspace.results().keys() == MODELS


def _worker_logs(workspace: Workspace) -> list[Path]:
    return list((workspace.dir / ".dbtorch" / "runs").glob("*/dbt.log"))


def test_sigterm_ends_what_does_not_want_to_end(workspace: Workspace) -> None:
    """A query that takes for ever, a Python model without one, and steps that ignore SIGTERM."""
    slow(workspace)
    beating = "trap '' INT TERM; touch ready-{0}; while :; do sleep 0.2; echo x >> beats.txt; done"
    workspace.write(
        {
            "profiles.yml": PROFILES.replace("threads: 2", "threads: 3"),
            "models/sleeps.py": """
                import pathlib, time

                def model(dbt, session):
                    pathlib.Path("ready-model").touch()
                    time.sleep(7200)
                    return session.sql("select 1 as id")
            """,
            "dbtorch.yml": f"""
                steps:
                  stubborn:
                    command: "{beating.format("leader")}"
                    opens_database: false
                  leaves_a_child:
                    command: "({beating.format("child")}) & sleep 7200"
                    opens_database: false
                  publish: {{command: "echo published >> published.txt", after: [after_slow]}}
            """,
        }
    )
    with workspace.started(*RUN) as run:
        run.wait_for_node(SLOW)
        for name in ("model", "leader", "child"):
            assert eventually((workspace.dir / f"ready-{name}").exists)
        run.signal(signal.SIGTERM)
        assert run.ended().code == 143
        beats = workspace.lines("beats.txt")
        assert workspace.is_quiet()
    assert workspace.lines("beats.txt") == beats
    shown = workspace.show()
    assert shown.state == "cancelled"
    assert shown.names("success") == {"quick"}
    assert shown.names("cancelled") == set(shown.states) - {"quick"}
    for name in ("slow", "sleeps", "stubborn", "leaves_a_child"):
        assert shown.nodes[name]["reason"] == "the run got SIGTERM"
        assert shown.nodes[name]["attempts"][0]["finished_at"]
    assert workspace.results().keys() == {*MODELS, "model.shop.sleeps"}
    assert workspace.query("select id from quick") == [(1,)]
