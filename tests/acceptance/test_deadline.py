"""Runs that are to be over by some time."""

from __future__ import annotations

import signal

from tests.acceptance.slow import MODELS, SLOW, set_slow, slow
from tests.acceptance.workspace import Shown, Workspace
from tests.slack_server import TOKEN, slack_server

PIPELINE = """
    pipelines:
      default: {{deadline: {deadline}, deadline_action: {action}}}
    steps:
      load: {{command: "sleep {seconds}"}}
"""


def project(
    workspace: Workspace, *, deadline: str = "2s", action: str = "alert", seconds: float = 4
) -> None:
    workspace.write(
        {
            "models/orders.sql": "select 1 as id",
            "dbtorch.yml": PIPELINE.format(deadline=deadline, action=action, seconds=seconds),
        }
    )


def test_a_run_that_is_late_says_so_and_goes_on(workspace: Workspace) -> None:
    project(workspace)
    done = workspace.dbtorch("run", "--log-format", "json")
    notes = [note for note in done.events("note") if "the run is late" in note["message"]]
    assert [note["level"] for note in notes] == ["warning"]
    shown = workspace.show()
    assert shown.state == "success"
    assert shown.said["deadline_missed"] is True
    (late,) = shown.said["actions"]
    assert (late["action"], late["actor"]) == ("deadline", "dbtorch")
    assert late["at"] >= shown.said["deadline"]
    text = workspace.dbtorch("show").out
    assert ", missed by " in next(line for line in text.splitlines() if "  deadline " in line)


def test_what_will_be_late_is_told_once_also_where_the_run_goes_on(workspace: Workspace) -> None:
    with slack_server() as server:
        workspace.write(
            {
                "models/orders.sql": "select 1 as id",
                "dbtorch.yml": f"""
                    steps: {{load: {{command: "sleep 6", deadline: 2s, owner: data-eng}}}}
                    alerts: {{targets: "*", slack: {{token: {TOKEN}, channel: C0000DATA, api_url: {server.url}}}}}
                """,
            }
        )
        workspace.dbtorch("run")
        first = workspace.show()
        assert told(first) == [("deadline", "step.load")]  # no history, so nobody foresaw it
        (node,) = first.said["node_deadlines"]
        assert (node["node_id"], node["missed"], node["at_risk"]) == ("step.load", True, False)
        text = workspace.dbtorch("show").out
        assert any(" deadline " in x and "for step load, missed" in x for x in text.splitlines())

        with workspace.started("run", "--log-format", "json", "--deadline", "5s") as run:
            said = run.wait_for("the run will probably miss its deadline")
            assert "step load costs the most" in said
            run.signal(signal.SIGKILL)
            run.process.wait()
        workspace.dbtorch("retry")
        again = workspace.show()
        assert again.state == "success"
        assert sorted(told(again)) == [
            ("deadline", ""),
            ("deadline", "step.load"),
            ("deadline_at_risk", ""),
            ("deadline_at_risk", "step.load"),
        ]
        assert again.said["deadline_at_risk"] is True
        times = {(a["action"], a["node_id"] or ""): a["at"] for a in again.said["actions"]}
        assert times["deadline_at_risk", ""] < times["deadline", ""]
        texts = [
            reply["text"] for card in server.top_level() for reply in server.thread(card["ts"])
        ]
    for event in ("will probably miss its deadline", "has missed its deadline"):
        for what in ("pipeline default", "step load"):
            count = sum(f"{what} {event}" in text for text in texts)
            assert count == 1 + (what == "step load" and event.startswith("has")), texts


def told(run: Shown) -> list[tuple[str, str]]:
    """What was said of deadlines, and of what."""
    found = [(action["action"], action["node_id"] or "") for action in run.said["actions"]]
    return [one for one in found if one[0].startswith("deadline")]


def test_a_run_in_time_says_nothing(workspace: Workspace) -> None:
    project(workspace, deadline="1h", seconds=0)
    done = workspace.dbtorch("run")
    assert "the run is late" not in done.all
    shown = workspace.show()
    assert shown.said["deadline_missed"] is False
    assert shown.said["actions"] == []
    assert "missed" not in workspace.dbtorch("show").out


def test_a_late_run_is_cancelled_where_that_is_wanted(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started("run", "--deadline", "8s", "--deadline-action", "cancel") as run:
        done = run.ended()
    assert done.code == 1
    assert "the run is late" in done.out
    assert "it is cancelled" in done.out
    shown = workspace.show()
    assert shown.state == "cancelled"
    assert shown.states["slow"] == "cancelled"
    # how far it had come depends on the machine
    assert "the run missed its deadline" in {node["reason"] for node in shown.nodes.values()}
    assert workspace.results().keys() == MODELS

    set_slow(workspace, slow=False)
    retried = workspace.dbtorch("retry")  # or nothing that was late could ever be retried
    assert "the run is late" not in retried.all  # it was said once
    shown = workspace.show()
    assert shown.state == "success"
    assert shown.said["deadline_missed"] is True
    assert [a["action"] for a in shown.said["actions"]].count("deadline") == 1


def test_a_retry_may_be_given_another_deadline(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started("run", "--log-format", "json", "--deadline", "1h") as run:
        run.wait_for_node(SLOW)
        workspace.dbtorch("cancel", "latest")
        run.ended()
    first = workspace.show().said["deadline"]
    set_slow(workspace, slow=False)
    workspace.dbtorch("retry", "--deadline", "2h")
    assert workspace.show().said["deadline"] > first


def test_what_is_no_deadline_is_refused(workspace: Workspace) -> None:
    project(workspace)
    said = workspace.dbtorch("run", "--deadline", "soon", code=2).err
    assert "a deadline is a duration such as" in said
    assert "--deadline-action" in workspace.dbtorch("run", "--deadline-action", "x", code=2).err
    project(workspace, deadline="24:00")
    assert "pipelines.default.deadline" in workspace.refused("run")
    project(workspace, action="page")
    said = workspace.refused("run")
    assert "dbtorch.yml:2: pipelines.default.deadline_action" in said
    assert "expected one of alert, cancel" in said
