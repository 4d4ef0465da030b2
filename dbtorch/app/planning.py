"""From what dbt selected and what the user wrote to a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dbtorch.app.check_planning import Checking, Remember, find_checks
from dbtorch.app.gate_planning import Gates, find_gates
from dbtorch.app.policies import Levels
from dbtorch.app.step_wiring import Choice, StepWiring
from dbtorch.core.config import Config, StepSpec
from dbtorch.core.errors import PlanError
from dbtorch.core.model.graph import Graph, Kind
from dbtorch.core.model.naming import named_apart
from dbtorch.core.model.ownership import owned
from dbtorch.core.model.policy import Policy
from dbtorch.core.plan import AT_ONCE, LOOKS, STEPS, THREADS, Plan, with_session
from dbtorch.core.settings import Settings

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and which side executes what."""

    plan: Plan
    on_engine: frozenset[str]  # dbt nodes, sql steps and both ends of the session
    opens_database: frozenset[str]  # steps for which the session lets go of the database file
    project: Graph  # all of dbt's nodes and all steps, whatever is selected
    held_back: tuple[str, ...] = ()  # steps after what is selected that nobody asked for


def make_plan(
    selected: Selected,
    config: Config,
    settings: Mapping[str, Settings],
    durations: Mapping[str, float],
    choice: Choice,
    remember: Remember | None = None,
) -> Planned:
    """Put everything together; ``remember`` what checks compare with. Raises `PlanError`."""
    wiring, gates, checking = _parts(selected, config, settings, choice, remember)
    steps = wiring.chosen(choice) if choice.steps else {}
    members = [node for node in selected.nodes if node.id in selected.selected]
    hooks = [node for node in selected.nodes if node.kind is Kind.OPERATION] if members else []
    nodes = [
        *(wiring.nodes[spec.id] for spec in steps.values()),
        *gates.nodes,
        *members,
        *hooks,
    ]
    produced = {spec.id: wiring.produces[spec.id] for spec in steps.values()}
    edges = [*selected.selected_edges, *wiring.edges_of(steps), *gates.edges(produced)]
    kinds = {node.id: node.kind for node in nodes}
    edges += list(checking.edges(edges, kinds, produced))
    nodes += checking.nodes
    on_engine = {node.id for node in (*members, *gates.nodes, *checking.nodes)}
    on_engine |= {s.id for s in steps.values() if s.on_engine}
    opens = frozenset(s.id for s in steps.values() if _opens_database(s, selected))
    levels = Levels(config, steps, settings, overrides=choice.overrides, pipeline=choice.pipeline)
    policies = {
        node.id: levels.policy(
            node,
            engine=node.id in on_engine,
            whole=selected.threads if node.id in opens else 0,
        )
        for node in nodes
    }
    nodes = owned(
        nodes,
        among=selected.nodes,
        edges=selected.edges,
        folders=config.alerts.folders if config.alerts is not None else {},
        otherwise=choice.owner,
    )
    graph, policies = with_session(
        named_apart(nodes, among=(*selected.nodes, *nodes)),
        edges,
        frozenset(on_engine),
        policies,
        retry=levels.retry(),
        owner=choice.owner,
    )
    plan = Plan(
        graph=graph,
        policies=policies,
        pools={
            **config.pools,
            THREADS: selected.threads,
            STEPS: config.max_steps,
            **_looks(policies),
        },
        expected=durations,
        fail_fast=selected.fail_fast,
        breaker=config.circuit_breaker,
        limits=gates.limits or {},
        checks=checking.watches,
        batches=selected.batches,
        apart=levels.apart(nodes, edges) if selected.batches is not None else frozenset(),
    )
    ends = {node.id for node in graph.nodes.values() if node.kind is Kind.SESSION}
    return Planned(
        plan=plan,
        on_engine=frozenset(on_engine | ends),
        opens_database=opens,
        project=wiring.project,
        held_back=wiring.held_back(choice, steps),
    )


def graph_problems(selected: Selected, config: Config) -> tuple[str, ...]:
    """What is wrong with how steps, gates and checks name things of the project."""
    try:
        _parts(selected, config, {}, Choice(), None)
    except PlanError as error:
        return error.problems
    return ()


def _parts(
    selected: Selected,
    config: Config,
    settings: Mapping[str, Settings],
    choice: Choice,
    remember: Remember | None,
) -> tuple[StepWiring, Gates, Checking]:
    """What dbtorch puts beside dbt's nodes. Raises `PlanError` with what is wrong with all."""
    wrong: list[str] = []
    wiring = _unless(wrong, partial(StepWiring, selected, config))
    gates = _unless(wrong, partial(find_gates, selected, config, settings, wanted=choice.freshness))
    checked = partial(find_checks, wanted=choice.checks, but=choice.unchecked)
    checking = _unless(wrong, partial(checked, selected, config, settings, remember))
    if wiring is None or gates is None or checking is None:
        raise PlanError(wrong)
    return wiring, gates, checking


def _unless(wrong: list[str], make: Callable[[], _T]) -> _T | None:
    """What is made; None where it cannot be, with the reasons among what is ``wrong``."""
    try:
        return make()
    except PlanError as error:
        wrong += error.problems
        return None


def _looks(policies: Mapping[str, Policy]) -> dict[str, int]:
    """The pool of looks, where something waits."""
    return {LOOKS: AT_ONCE} if any(LOOKS in one.slots for one in policies.values()) else {}


def _opens_database(spec: StepSpec, selected: Selected) -> bool:
    if selected.exclusive_file is None or spec.on_engine:
        return False
    return spec.opens_database is not False  # who says nothing may open it
