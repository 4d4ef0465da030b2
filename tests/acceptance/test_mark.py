"""`dbtorch mark`: somebody knows better."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from tests.acceptance.slow import SLOW, slow
from tests.acceptance.workspace import Shown, Workspace

FILES = {
    "dbtorch.yml": """
        steps:
          push: {command: "echo pushed >> push.txt", after: [report]}
    """,
    "models/orders.sql": "select 1 as id",
    "models/totals.sql": "select nosuch as id from {{ ref('orders') }}",
    "models/report.sql": "select * from {{ ref('totals') }}",
    "models/schema.yml": "models: [{name: orders, columns: [{name: id, data_tests: [not_null]}]}]",
}


@dataclass(frozen=True, kw_only=True)
class Story:
    """What a user does and sees, in order."""

    workspace: Workspace
    said: str  # a mark on what failed
    marked: Shown
    retried: Shown
    results: dict[str, str]
    bad: str  # a mark on what was a success
    failed: Shown
    refused: dict[str, str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A table is mended by hand, and later found to be bad."""
    workspace = Workspace(tmp_path_factory.mktemp("mark") / "shop", FILES)
    workspace.dbtorch("run", code=1)
    refused = {
        "no reason": workspace.dbtorch("mark", "latest", "totals", "success", code=2).err,
        "no such state": workspace.dbtorch(
            "mark", "latest", "totals", "done", "--reason", "x", code=2
        ).err,
        "no such node": workspace.refused("mark", "latest", "total", "success", "--reason", "x"),
        "no such run": workspace.refused("mark", "1999", "totals", "success", "--reason", "x"),
        "already": workspace.refused("mark", "latest", "totals", "failed", "--reason", "x"),
        "session": workspace.refused("mark", "latest", "session.open", "failed", "--reason", "x"),
    }
    because = ("--reason", "loaded by hand")
    said = workspace.dbtorch("mark", "latest", "totals", "success", *because).out
    marked = workspace.show()
    _build_by_hand(workspace)
    workspace.dbtorch("retry")
    retried, results = workspace.show(), workspace.results()
    bad = workspace.dbtorch("mark", "latest", "orders", "failed", "--reason", "half a day").out
    return Story(
        workspace=workspace,
        said=said,
        marked=marked,
        retried=retried,
        results=results,
        bad=bad,
        failed=workspace.show(),
        refused=refused,
    )


def _build_by_hand(workspace: Workspace) -> None:
    import duckdb

    with duckdb.connect(str(workspace.dir / "warehouse.duckdb")) as connection:
        connection.execute("create view totals as select 7 as id")


def test_a_mark_changes_a_state_and_says_who_and_why(story: Story) -> None:
    id = story.marked.id
    assert story.said == (
        f"model.shop.totals is marked success in run {id} (it was failed)\n"
        f"the run stays failed; `dbtorch retry {id}` goes on with it\n"
    )
    assert story.marked.states["totals"] == "success"
    assert story.marked.states["report"] == "upstream_failed"
    assert len(story.marked.nodes["totals"]["attempts"]) == 1  # what was tried stays as it was
    assert story.marked.nodes["totals"]["attempts"][0]["state"] == "failed"
    (action,) = story.marked.said["actions"]
    assert (action["action"], action["node_id"]) == ("mark", "model.shop.totals")
    assert (action["state"], action["reason"]) == ("success", "loaded by hand")
    assert action["at"]
    assert action["handled_at"]
    reason = f"marked success by {action['actor']}: loaded by hand"
    assert story.marked.nodes["totals"]["reason"] == reason
    shown = story.workspace.dbtorch("show").out
    assert f"mark model.shop.totals success by {action['actor']}: loaded by hand" in shown


def test_a_retry_goes_on_behind_a_node_marked_as_success(story: Story) -> None:
    assert story.retried.state == "success"
    assert story.retried.tries == {
        "orders": 1,
        "not_null_orders_id": 1,
        "totals": 1,
        "report": 1,
        "push": 1,
    }
    assert story.workspace.query("select id from report") == [(7,)]


def test_dbts_results_do_not_say_that_dbt_has_built_it(story: Story) -> None:
    assert {id.split(".")[2]: status for id, status in story.results.items()} == {
        "orders": "success",
        "not_null_orders_id": "pass",
        "totals": "skipped",
        "report": "success",
    }


def test_a_success_that_is_marked_failed_runs_again_with_all_that_was_made_of_it(
    story: Story,
) -> None:
    assert "the run is failed now" in story.bad
    assert (story.failed.state, story.failed.states["orders"]) == ("failed", "failed")
    assert story.failed.states["report"] == "success"
    workspace = story.workspace
    workspace.write({"models/totals.sql": "select id from {{ ref('orders') }}"})
    workspace.dbtorch("retry")
    shown = workspace.show()
    assert shown.state == "success"
    assert set(shown.tries.values()) == {2}
    assert workspace.query("select id from report") == [(1,)]
    assert workspace.lines("push.txt") == ["pushed"] * 2
    verbs = [action["action"] for action in shown.said["actions"]]
    assert verbs == ["mark", "retry", "mark", "retry"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no reason", "Missing option '--reason'"),
        ("no such state", "'done' is not one of 'success', 'failed'"),
        ("no such node", "did you mean totals?"),
        ("no such run", "there is no run '1999'"),
        ("already", "model.shop.totals is failed in run"),
        ("session", "session.open is a part of dbt's session"),
    ],
)
def test_what_cannot_be_marked_is_refused(story: Story, what: str, said: str) -> None:
    assert said in story.refused[what]


def test_a_run_in_which_everything_is_good_is_a_success(workspace: Workspace) -> None:
    workspace.write({"models/a.sql": "select 1 as id", "models/b.sql": "select nosuch"})
    workspace.dbtorch("run", code=1)
    before = workspace.show()
    said = workspace.dbtorch("mark", "latest", "b", "success", "--reason", "not needed").out
    assert "the run is success now" in said
    after = workspace.show()
    assert after.state == "success"
    assert after.said["finished_at"] == before.said["finished_at"]  # it ended when it ended
    assert "nothing to retry" in workspace.dbtorch("retry").all


def test_a_run_that_somebody_drives_takes_no_mark(workspace: Workspace) -> None:
    slow(workspace)
    with workspace.started("run", "--log-format", "json") as run:
        run.wait_for_node(SLOW)
        said = workspace.refused("mark", "latest", "quick", "failed", "--reason", "x")
        assert f"is being driven by pid {run.pid} on " in said
        assert "`dbtorch cancel " in said
        assert run.process.poll() is None
        run.signal(signal.SIGINT)
        run.ended()
    assert workspace.show().said["actions"] == []
