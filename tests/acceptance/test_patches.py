"""dbt does all of its own work where it is asked to; `dbtorch doctor` says what it is spared."""

from __future__ import annotations

import pytest

from tests.acceptance.workspace import Workspace
from tests.engines import PROCESS_1_11, SESSION_1_11, over

FILES = {
    "models/first.sql": "select 1 as id",
    "models/broken.sql": "select {{ ref('first') }} from nowhere",
    "models/last.sql": "select * from {{ ref('first') }}",
    "models/schema.yml": """
        models:
          - name: first
            columns: [{name: id, data_tests: [not_null]}]
    """,
    "dbtorch.yml": """
        defaults: {retries: 0}
    """,
}

pytestmark = [pytest.mark.slow]


def configure(workspace: Workspace, patches: str) -> None:
    """Write the project, with or without them."""
    workspace.write(FILES)
    path = workspace.dir / "dbtorch.yml"
    rest, _, engine = path.read_text().partition("engine: {")
    path.write_text(f"{rest}engine: {{patches: {patches}, {engine or '}'}")


@over(SESSION_1_11, PROCESS_1_11)
def test_a_run_without_patches_ends_as_one_with_them(workspace: Workspace) -> None:
    found = []
    for patches in ("false", "true"):
        configure(workspace, patches)
        workspace.dbtorch("run", code=1)
        shown = workspace.show()
        assert shown.states == {
            "first": "success",
            "not_null_first_id": "success",
            "broken": "failed",
            "last": "success",
        }
        assert "SQL status: OK" in workspace.dbtorch("logs", "latest", "last").out
        classes = {
            name: node["attempts"][-1]["failure_class"] for name, node in shown.nodes.items()
        }
        found.append((classes, workspace.results()))
        said = workspace.dbtorch("doctor").out
        assert ("none: engine.patches is false" in said) == (patches == "false")
        assert ("relations by name" in said) == (patches == "true")
    assert found[0] == found[1]
