"""`dbtorch rerun`: a part of a run, again."""

from __future__ import annotations

from tests.acceptance.workspace import Workspace
from tests.engines import PROCESS_2, SESSION_1_11, Can, Driven, over, shows

FILES = {
    "dbtorch.yml": """
        steps:
          load: {command: "echo loaded >> load.txt", produces: source:raw.orders}
          push: {command: "echo pushed >> push.txt", after: [report]}
          beside: {command: "echo beside >> beside.txt"}
    """,
    "models/raw.sql": "{{ config(alias='raw_orders') }} select 1 as id",
    "models/orders.sql": "select 1 as id from (select '{{ source('raw', 'orders') }}')",
    "models/report.sql": "select * from {{ ref('orders') }}",
    "models/broken.sql": "select nosuch from {{ ref('orders') }}",
    "models/behind.sql": "select * from {{ ref('broken') }}",
    "models/schema.yml": """
        sources: [{name: raw, tables: [{name: orders}]}]
        models:
          - {name: orders, config: {tags: [core]}, columns: [{name: id, data_tests: [not_null]}]}
    """,
}

ALL = {"load", "push", "beside", "raw", "orders", "report", "not_null_orders_id"}


@over(SESSION_1_11, PROCESS_2)
@shows(Can.RERUN)
def test_a_part_of_a_run_is_run_again_with_what_depends_on_it(
    workspace: Workspace, driven: Driven
) -> None:
    workspace.write(FILES)
    workspace.dbtorch("run", code=1)
    first = workspace.show()
    assert first.names("success") == ALL
    tries = dict(first.tries)

    def again(*args: str, code: int = 1) -> set[str]:
        """Nodes that have one more attempt; none has two."""
        workspace.dbtorch("rerun", "latest", *args, code=code)
        found = workspace.show().tries
        more = {name for name in found if found[name] != tries[name]}
        once = all(found[name] == tries[name] + 1 for name in more)
        assert once, workspace.dbtorch("show", "latest").out
        tries.update(found)
        return more

    # what failed and was not selected stays, and so does the state of the run
    assert again("--select", "report", "--reason", "late rows") == {"report", "push"}
    shown = workspace.show()
    assert (shown.id, shown.state) == (first.id, "failed")
    assert (shown.states["broken"], shown.states["behind"]) == ("failed", "upstream_failed")
    (action,) = shown.said["actions"]
    assert (action["action"], action["reason"]) == ("rerun", "late rows; --select report")
    results = {id.split(".")[2]: status for id, status in workspace.results().items()}
    assert results == {
        "raw": "success",
        "orders": "success",
        "not_null_orders_id": "pass",
        "report": "success",
        "broken": "error",
        "behind": "skipped",
    }

    # dbt's own words; what failed depends on it as well
    down = {"orders", "not_null_orders_id", "report", "push", "broken"}
    # push waits for the test of orders as well, so it is after orders by more than one way
    assert again("--select", "tag:core", "--exclude", "report") == down - {"report"}
    if driven is SESSION_1_11:  # what is no matter of the engine
        # a step by its name, several at once
        words = ("--select", "step:load", "raw", "--exclude", "push")
        assert again(*words) == {"load", "raw", *down - {"push"}}
        # and what cannot be
        said = workspace.refused("rerun", "latest", "--select", "behind")
        assert "model.shop.behind cannot run behind model.shop.broken, which failed" in said
        assert "did you mean report?" in workspace.refused("rerun", "latest", "--select", "reprot")
        said = workspace.refused("rerun", "latest", "--select", "step:reload")
        assert '"step:reload" names no step; did you mean "step:load"?' in said
    assert workspace.lines("push.txt") == ["pushed"] * 3
    assert workspace.lines("beside.txt") == ["beside"]

    workspace.write({"models/broken.sql": "select id from {{ ref('orders') }}"})
    assert again("--select", "broken", code=0) == {"broken", "behind"}
    assert workspace.show().state == "success"
    if driven is SESSION_1_11:
        assert again("--select", "+report", code=0) == {"load", "push", *down, "behind"}
