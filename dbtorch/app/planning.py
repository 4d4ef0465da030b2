"""From what dbt selected and what the user wrote to a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from dbtorch.app.check_planning import Checking, Remember, find_checks
from dbtorch.app.gate_planning import Gates, find_gates
from dbtorch.app.policies import Levels
from dbtorch.core.config import Config, StepSpec
from dbtorch.core.errors import PlanError
from dbtorch.core.model.graph import CycleError, Graph, Kind, Node
from dbtorch.core.model.naming import named_apart
from dbtorch.core.model.ownership import owned
from dbtorch.core.model.selection import step_named
from dbtorch.core.plan import STEPS, THREADS, Plan, with_session
from dbtorch.core.settings import Settings
from dbtorch.core.text.nearest import did_you_mean

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected

_STEP = "step:"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and which side executes what."""

    plan: Plan
    on_engine: frozenset[str]  # dbt nodes, sql steps and both ends of the session
    opens_database: frozenset[str]  # steps for which the session lets go of the database file
    held_back: tuple[str, ...] = ()  # steps after what is selected that nobody asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the command line says about a plan, besides dbt's own options."""

    overrides: Settings = field(default_factory=Settings)
    pipeline: Settings = field(default_factory=Settings)  # of nodes that say nothing of their own
    steps: bool = True
    everything: bool = True  # no selection was given, so every step takes part
    downstream: bool = True  # steps after what is selected come along, and steps before those
    named: frozenset[str] = frozenset()  # steps by name
    left_out: frozenset[str] = frozenset()  # steps by name, whatever else is said
    unchecked: tuple[str, ...] = ()  # names, or patterns, of what is not checked
    owner: str = ""  # of nodes that nobody else owns
    freshness: bool = True  # sources are checked
    checks: bool = True  # and so is what has checks


def texts_to_resolve(config: Config) -> tuple[str, ...]:
    """Selections in ``produces`` and ``after`` that only dbt can read."""
    found: dict[str, None] = {}
    for spec in config.steps.values():
        for text in (*spec.produces, *spec.after):
            if step_named(text, config.steps) is None and not text.startswith(_STEP):
                found[text] = None
    return tuple(found)


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
        pools={**config.pools, THREADS: selected.threads, STEPS: config.max_steps},
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
) -> tuple[_Wiring, Gates, Checking]:
    """What dbtorch puts beside dbt's nodes. Raises `PlanError` with what is wrong with all."""
    wrong: list[str] = []
    wiring = _unless(wrong, lambda: _Wiring(selected, config))
    gates = _unless(wrong, lambda: find_gates(selected, config, settings, wanted=choice.freshness))
    checking = _unless(
        wrong,
        lambda: find_checks(
            selected, config, settings, remember, wanted=choice.checks, but=choice.unchecked
        ),
    )
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


def step_node(spec: StepSpec) -> Node:
    """The node of a step."""
    return Node(
        id=spec.id,
        kind=Kind.STEP,
        name=spec.name,
        path=spec.origin.file,
        materialized=spec.type,
        owner=spec.settings.owner or "",
        runbook=spec.settings.runbook or "",
        description=spec.description,
        checksum=spec.checksum,
    )


class _Wiring:
    """Steps within the whole project's graph."""

    def __init__(self, selected: Selected, config: Config) -> None:
        self._selected = selected
        self._config = config
        specs = config.steps.values()
        self._wrong: list[str] = []
        self.nodes = {spec.id: step_node(spec) for spec in specs}
        self.produces = {spec.id: self._sources(spec) for spec in specs}
        self.after = {spec.id: self._after(spec) for spec in specs}
        self._one_producer_each(specs)
        if self._wrong:
            raise PlanError(self._wrong)
        self.project = self._whole_graph()

    def chosen(self, choice: Choice) -> dict[str, StepSpec]:
        """Steps that take part, by name.

        Without a selection all do. With one, a step takes part when it is named, or when a source
        that it produces is selected, and then with the steps before it; and a step that comes
        after selected nodes only where those are to come along.
        """
        specs = self._config.steps
        producers = {spec.id for spec in specs.values() if self._is_read(spec)}
        taken = {specs[name].id for name in choice.named if name in specs} | producers
        if choice.everything:
            taken = {spec.id for spec in specs.values()}
        elif choice.downstream:
            taken = self._with_both_sides(taken)
        else:
            taken |= self._leaders(producers)
        return {
            name: spec
            for name, spec in specs.items()
            if spec.id in taken and name not in choice.left_out
        }

    def held_back(self, choice: Choice, steps: Mapping[str, StepSpec]) -> tuple[str, ...]:
        """Names of steps that would have come along, had somebody asked for it."""
        if choice.downstream or choice.everything or not choice.steps:
            return ()
        along = self.chosen(replace(choice, downstream=True))
        return tuple(name for name in along if name not in steps)

    def _with_both_sides(self, taken: set[str]) -> set[str]:
        specs = self._config.steps.values()
        taken = taken | {spec.id for spec in specs if self._follows_selected(spec)}
        while True:
            more = {s.id for s in specs if s.id not in taken and self._comes_along(s, taken)}
            if not more:
                return taken
            taken |= more

    def _leaders(self, ids: Iterable[str]) -> set[str]:
        """Steps before these, near and far."""
        found: set[str] = set()
        waiting = list(ids)
        while waiting:
            before = (self.after[waiting.pop()] & self.nodes.keys()) - found
            found |= before
            waiting += before
        return found

    def edges_of(self, steps: Mapping[str, StepSpec]) -> list[tuple[str, str]]:
        """Edges between the chosen steps and what the run executes."""
        taken = {spec.id for spec in steps.values()}
        among = taken | self._selected.selected
        edges: dict[tuple[str, str], None] = {}
        for id in sorted(taken):
            for reader in sorted(self.project.nearest(id, among)):
                edges[id, reader] = None
            for before in sorted(self.after[id] & among):
                edges[before, id] = None
            for test in sorted(self._tests_before(id)):
                edges[test, id] = None
        return list(edges)

    def _tests_before(self, id: str) -> set[str]:
        """Tests that block a step, by dbt build's rule: all their parents come before it."""
        before = self.after[id] - self.nodes.keys()
        if not before:
            return set()
        upstream = self.project.ancestors(*before) | before
        return {
            test.id
            for test in self._selected.nodes
            if test.kind is Kind.TEST
            and test.id in self._selected.selected
            and upstream.issuperset(self.project.parents(test.id))
            and self.project.parents(test.id)
        }

    def _is_read(self, spec: StepSpec) -> bool:
        return bool(self.produces[spec.id] & self._selected.selected_sources)

    def _follows_selected(self, spec: StepSpec) -> bool:
        dbt_nodes = self.after[spec.id] - self.nodes.keys()
        chosen = self._selected.selected | self._selected.selected_sources
        return bool(dbt_nodes) and dbt_nodes <= chosen

    def _comes_along(self, spec: StepSpec, taken: set[str]) -> bool:
        leads_to_taken = any(spec.id in self.after[other] for other in taken)
        follows_only_steps = bool(self.after[spec.id]) and self.after[spec.id] <= taken
        return leads_to_taken or (follows_only_steps and not self.produces[spec.id])

    def _sources(self, spec: StepSpec) -> frozenset[str]:
        found: set[str] = set()
        kinds = {node.id: node.kind for node in self._selected.nodes}
        for text in spec.produces:
            ids = self._selected.resolved.get(text, frozenset())
            wrong = [id for id in ids if kinds.get(id) is not Kind.SOURCE]
            if wrong:
                self._wrong.append(
                    f"{spec.origin}: step {spec.name} produces {text!r}, which is no source but "
                    f"{min(wrong)}; write source:<source name>.<table>"
                )
                continue
            if not ids:
                self._wrong.append(self._unknown(spec, "produces", text))
            found |= ids
        return frozenset(found)

    def _after(self, spec: StepSpec) -> frozenset[str]:
        found: set[str] = set()
        for text in spec.after:
            step = step_named(text, self._config.steps)
            ids = (
                {Kind.STEP.id_of(step)}
                if step is not None
                else self._selected.resolved.get(text, frozenset())
            )
            if not ids:
                self._wrong.append(self._unknown(spec, "comes after", text))
            found |= ids
        return frozenset(found)

    def _unknown(self, spec: StepSpec, verb: str, text: str) -> str:
        why = self._selected.unreadable.get(text)
        if why is not None:
            return f'{spec.origin}: step {spec.name} {verb} "{text}", which dbt cannot read: {why}'
        names = [_selection_of(node) for node in self._selected.nodes]
        names += [f"{_STEP}{name}" for name in self._config.steps]
        hint = did_you_mean(text, names)
        return f'{spec.origin}: step {spec.name} {verb} "{text}", which nothing matches{hint}'

    def _one_producer_each(self, specs: Iterable[StepSpec]) -> None:
        producer: dict[str, StepSpec] = {}
        for spec in specs:
            for source in sorted(self.produces[spec.id]):
                first = producer.setdefault(source, spec)
                if first is not spec:
                    self._wrong.append(
                        f"{spec.origin}: step {spec.name} produces {source}, which step "
                        f"{first.name} ({first.origin}) already does; a source has one producer"
                    )

    def _whole_graph(self) -> Graph:
        edges = [
            *self._selected.edges,
            *((id, source) for id, found in self.produces.items() for source in sorted(found)),
            *((before, id) for id, found in self.after.items() for before in sorted(found)),
        ]
        try:
            return Graph([*self._selected.nodes, *self.nodes.values()], edges)
        except CycleError as error:
            where = [
                f"{spec.name} at {spec.origin}"
                for spec in self._config.steps.values()
                if spec.id in error.cycle
            ]
            change = f"change produces or after of step {' or '.join(where)}"
            raise PlanError([f"{error}; {change}"]) from error


def _selection_of(node: Node) -> str:
    prefix = {Kind.SOURCE: "source:", Kind.EXPOSURE: "exposure:"}.get(node.kind, "")
    return f"{prefix}{node.name}"


def _opens_database(spec: StepSpec, selected: Selected) -> bool:
    if selected.exclusive_file is None or spec.on_engine:
        return False
    return spec.opens_database is not False  # who says nothing may open it
