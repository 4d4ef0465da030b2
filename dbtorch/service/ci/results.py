"""The result of a run for a pull request: out of what dbt has selected, and of the run's record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dbtorch.adapters.config.locate import Locator
from dbtorch.adapters.git import checkout
from dbtorch.core.ci.affected import affected_by
from dbtorch.core.ci.changes import Changes
from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.ci.result import Against, CiResult, NodeResult
from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import State
from dbtorch.core.text.links import run_link
from dbtorch.ports.engine import Selected
from dbtorch.service.ci.budget import usual_seconds
from dbtorch.service.ci.options import CiOptions
from dbtorch.service.ci.state import States
from dbtorch.service.project.project import Project


def described(
    project: Project,
    options: CiOptions,
    states: States | None,
    selected: Selected,
    now: Code,
    changes: Changes,
) -> CiResult:
    """What is known before anything is built."""
    found = tuple(affected_by(now, changes))
    shown = {one.id for one in found} | {one.resource.id for one in changes.nodes}
    against = None
    if states is not None:
        against = Against(url=states.base.url, at=states.base.at, commit=states.base.commit)
    return CiResult(
        pr=options.pr,
        project=project.name,
        schema=str(selected.target["schema"]),
        commit=checkout(project.dir).commit,
        target=str(selected.target["name"]),
        against=against,
        changes=changes.nodes,
        edges=tuple(
            (parent, id)
            for id in sorted(shown)
            for parent in now.resources[id].parents
            if parent in shown
        ),
        deleted=changes.deleted,
        steps=(*changes.steps, *changes.steps_gone),
        affected=found,
        notes=tuple(_notes(states, selected)),
    )


def with_run(
    result: CiResult, project: Project, run: RunRecord, states: States | None, now: Code
) -> CiResult:
    """The same with what became of each node."""
    usual, locator = usual_seconds(states), Locator(project.dir)
    nodes = (
        _node(node, usual.get(node.id), _line(now.resources.get(node.id), locator))
        for node in _nodes(run)
    )
    return replace(
        result,
        run_id=run.run_id,
        link=run_link(project.config.ui.url, run.run_id),
        state=run.state,
        seconds=_seconds(run),
        nodes=tuple(nodes),
    )


def _notes(states: States | None, selected: Selected) -> Iterator[str]:
    if states is None:
        return
    if states.note:
        yield states.note
    had, has = (_minor(text) for text in (states.base.dbt_version, selected.dbt_version))
    if had and had != has:
        yield (
            f"production was built by dbt {states.base.dbt_version}, and this is dbt"
            f" {selected.dbt_version}, which may find changes that nobody has made: use the same"
            " version in both"
        )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _nodes(run: RunRecord) -> Iterator[NodeRecord]:
    """Nodes of a run; an end of the dbt session only where it failed."""
    for node in run.nodes:
        if node.kind is not Kind.SESSION or node.state is State.FAILED:
            yield node


def _line(one: Resource | None, locator: Locator) -> int:
    """Line of the YAML file on which a node, or what it tests, is described; 0 for all others."""
    if one is None:
        return 0
    tested, column = one.about
    return locator.described(tested or one.name, one.path, column=column)


def _node(node: NodeRecord, usual: float | None, line: int) -> NodeResult:
    last = node.attempts[-1] if node.attempts else None
    message = last.message if last is not None and last.message else str(node.reason)
    return NodeResult(
        id=node.id,
        name=node.name,
        kind=node.kind,
        state=node.state,
        seconds=last.seconds if last is not None else None,
        usual=usual,
        message="" if node.state is State.SUCCESS else message,
        path=node.path,
        line=line,
        owner=node.owner,
    )


def _seconds(run: RunRecord) -> float | None:
    if run.finished_at is None:
        return None
    return (run.finished_at - run.started_at).total_seconds()
