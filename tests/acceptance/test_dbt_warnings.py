"""What dbt warns of is said: while it happens, at the end, in JSON, and again in the next run."""

from __future__ import annotations

from typing import Any

from tests.acceptance.workspace import Done, Workspace
from tests.engines import PROCESS_1_11, SESSION_1_11, over

pytestmark = [over(SESSION_1_11, PROCESS_1_11)]

TYPO = "The selection criterion 'a_typo_model' does not match any enabled nodes"

FILES = {
    "dbt_project.yml": """
        name: shop
        version: "1.0"
        profile: shop
        flags: {send_anonymous_usage_stats: false}
        models:
          shop:
            no_such_folder: {+materialized: table}
    """,
    "models/talks.sql": """
        {% if execute %}{% do exceptions.warn('mind the gap') %}{% endif %}
        select 1 as id
    """,
    "models/patched.yml": "models: [{name: nobody_made_this}]",
}


def names(done: Done, event: str = "dbt_warning") -> list[str]:
    return [one["name"] for one in done.events(event)]


def at_the_end(done: Done) -> dict[str, dict[str, Any]]:
    (end,) = done.events("run_finished")
    return {one["name"]: one for one in end["dbt_warnings"]}


def test_what_dbt_warns_of_is_said_once(workspace: Workspace) -> None:
    workspace.write(FILES)
    plan = workspace.dbtorch("plan", "--format", "json")
    expected = {"UnusedResourceConfigPath", "NoNodeForYamlKey"}
    assert {one["name"] for one in plan.json()["dbt_warnings"]} >= expected
    assert plan.err.count("Configuration paths exist in your dbt_project.yml") == 1
    validated = workspace.dbtorch("validate", "--no-partial-parse")  # dbt warns of what it reads
    assert validated.err.count("with name 'nobody_made_this'") == 1
    assert "2 warnings of dbt" in validated.out

    done = workspace.dbtorch("run", "-s", "talks", "a_typo_model")
    assert done.out.count(TYPO) == 1  # while it happens; at the end only how many and which
    assert done.out.count("mind the gap") == 1
    assert "warnings of dbt: " in done.out
    shown = workspace.dbtorch("show").out  # and kept
    assert TYPO in shown
    assert "mind the gap" in shown

    # and again, where dbt's last answer may be taken for this one
    done = workspace.dbtorch("run", "-s", "talks", "a_typo_model", "--log-format", "json")
    assert sorted(names(done)) == sorted(set(names(done)))
    found = at_the_end(done)
    assert found.keys() >= {"NoNodesForSelectionCriteria", "JinjaLogWarning"}
    assert TYPO in found["NoNodesForSelectionCriteria"]["message"]
    assert found["JinjaLogWarning"]["node_id"] == "model.shop.talks"
    assert found["NoNodesForSelectionCriteria"]["count"] == 1
    assert {one["name"] for one in workspace.show().said["dbt_warnings"]} == found.keys()

    assert TYPO in workspace.dbtorch("run", "-s", "a_typo_model").out  # and nothing else


def test_warnings_are_errors_or_nothing_where_dbts_options_say_so(workspace: Workspace) -> None:
    workspace.write({"models/talks.sql": FILES["models/talks.sql"]})
    done = workspace.dbtorch("run", "--warn-error", code=1)
    assert "mind the gap" in done.out
    (failed,) = workspace.show().states.items()
    assert failed == ("talks", "failed")

    assert TYPO in workspace.refused("run", "-s", "a_typo_model", "--warn-error")

    only_typos = "{error: [NoNodesForSelectionCriteria], silence: [JinjaLogWarning]}"
    done = workspace.dbtorch("run", "--warn-error-options", only_typos, "--log-format", "json")
    assert "JinjaLogWarning" not in names(done)
    assert at_the_end(done) == {}
    assert TYPO in workspace.refused(
        "run", "-s", "a_typo_model", "--warn-error-options", only_typos
    )
