"""What other orchestrators read of a project, and how they follow its runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import dbtorch
from dbtorch.integrations.following import FollowedRun, planned
from dbtorch.service.planning import preview
from tests.acceptance.workspace import Workspace

FILES = {
    "dbtorch.yml": """
        steps: {waits: {command: sleep 300, after: [a], retries: 0}}
    """,
    "models/a.sql": "select 1 as id",
}


class DbtIsAsked(Exception):
    """Nobody had to."""


def test_a_plan_is_read_without_dbt_until_something_changes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write(FILES)
    project = dbtorch.Project(workspace.dir, environ=workspace.environ())
    first = project.plan(cached=True)

    def refused(*_: object, **__: object) -> None:
        raise DbtIsAsked

    monkeypatch.setattr(preview, "open_session", refused)
    assert project.plan(cached=True).nodes == first.nodes
    assert list(planned(project, {"run_id": "mine"})) == ["model.shop.a", "step.waits"]
    with pytest.raises(DbtIsAsked):
        project.plan(cached=True, select="a")
    workspace.write({"models/b.sql": "select 2 as id"})
    with pytest.raises(DbtIsAsked):
        project.plan(cached=True)


def test_who_stops_to_follow_a_run_cancels_it(workspace: Workspace) -> None:
    workspace.write(FILES)
    project = dbtorch.Project(workspace.dir, environ=workspace.environ())
    with FollowedRun(project) as followed:
        changes: Iterator[dbtorch.NodeChange] = iter(followed)
        while str((change := next(changes)).node_id) != "step.waits" or change.state != "running":
            pass

    assert followed.result.state == "cancelled"
    ended = {node.id: node.state for node in project.show(followed.result.id).nodes}
    assert ended == {"model.shop.a": "success", "step.waits": "cancelled"}


def test_a_run_that_cannot_begin_says_why(workspace: Workspace) -> None:
    project = dbtorch.Project(workspace.dir, environ=workspace.environ())
    with (
        pytest.raises(dbtorch.NotFound, match="nope"),
        FollowedRun(project, pipeline="nope") as followed,
    ):
        assert list(followed) == []
        followed.result  # noqa: B018
