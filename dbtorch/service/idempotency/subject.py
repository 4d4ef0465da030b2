"""What is run twice, and whether it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbtorch.adapters.steps.catalog import opens_by_type
from dbtorch.core.config import Config, StepSpec
from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.text.nearest import did_you_mean
from dbtorch.ports.engine import Selected

_STEP = "step:"

_RUNS = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A step, or a dbt node that makes a relation."""

    id: str
    name: str
    selection: str = ""  # dbt's, for a dbt node
    step: StepSpec | None = None
    writes: tuple[str, ...] = ()  # ids of what it makes; unknown for a step without `produces`
    reads: tuple[str, ...] = ()  # sources that a model reads, ephemeral models in between


def step_named(text: str, config: Config) -> str | None:
    """The name of the step that a text names; None where dbt has to say what it means."""
    name = text.removeprefix(_STEP)
    if name in config.steps:
        return name
    if text.startswith(_STEP):
        raise UsageError(f"there is no step {name}{did_you_mean(name, list(config.steps))}")
    return None


def subject_of(text: str, config: Config, selected: Selected) -> Subject:
    """What a text names. Raises `UsageError` where that is nothing that can be run twice."""
    name = step_named(text, config)
    return _node(text, config, selected) if name is None else _step(config.steps[name], selected)


def _step(spec: StepSpec, selected: Selected) -> Subject:
    by_type = spec.on_engine or opens_by_type(spec.type)
    foreign = not by_type and not spec.opens_database  # it talks to somebody else
    if foreign or spec.opens_database is False:
        what = f"it is of type {spec.type}" if foreign else "it says opens_database: false"
        raise UsageError(
            f"step {spec.name} does not write to the warehouse by itself ({what}), so it cannot be "
            "redirected, and would do for real what it does; check it where it writes"
        )
    writes = {id for text in spec.produces for id in selected.resolved.get(text, ())}
    return Subject(id=spec.id, name=spec.name, step=spec, writes=tuple(sorted(writes)))


def _node(text: str, config: Config, selected: Selected) -> Subject:
    nodes = {node.id: node for node in selected.nodes}
    found = sorted(selected.resolved.get(text, ()))
    if not found:
        names = [*config.steps, *(n.name for n in selected.nodes if n.kind in _RUNS)]
        raise UsageError(f"there is no step or model {text!r}{did_you_mean(text, names)}")
    if len(found) > 1:
        raise UsageError(
            f"{text!r} names {len(found)} nodes: {', '.join(found[:5])}"
            f"{' …' if len(found) > 5 else ''}; name one of them"
        )
    node = nodes[found[0]]
    _must_make_a_relation(node)
    return Subject(
        id=node.id,
        name=node.id.split(".", 2)[2],  # with its version
        selection=text,
        writes=(node.id,),
        reads=_sources(node.id, nodes, selected),
    )


def _must_make_a_relation(node: Node) -> None:
    why = ""
    if node.kind not in _RUNS:
        why = f"a {node.kind} makes no relation; name a step, model, seed or snapshot"
    elif node.materialized == "ephemeral":
        why = "an ephemeral model makes no relation; check the models that read it"
    elif node.materialized == "external":
        why = "an external model writes files, which are not redirected; check it by hand"
    if why:
        raise UsageError(f"{node.name} cannot be checked: {why}")


def _sources(id: str, nodes: Mapping[str, Node], selected: Selected) -> tuple[str, ...]:
    parents: dict[str, list[str]] = {}
    for before, after in selected.edges:
        parents.setdefault(after, []).append(before)
    found, waiting = set(), [id]
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if nodes[parent].kind is Kind.SOURCE:
                found.add(parent)
            elif nodes[parent].materialized == "ephemeral":
                waiting.append(parent)
    return tuple(sorted(found))
