"""From what dbt selected and what the user wrote to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dbtorch.app.checking import Checking, CheckingError, Remember, find_checks
from dbtorch.app.gating import Gates, GatingError, find_gates
from dbtorch.app.settling import Levels
from dbtorch.core.config import Config, Settings, StepSpec
from dbtorch.core.graph import CycleError, Graph, Kind, Node
from dbtorch.core.naming import did_you_mean
from dbtorch.core.plan import STEPS, THREADS, Plan, with_session
from dbtorch.ports import Selected

_STEP = "step:"


class PlanError(Exception):
    """What the user wrote does not make a plan; one sentence with file, line and names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and which side executes what."""

    plan: Plan
    on_engine: frozenset[str]  # dbt nodes, sql steps and both ends of the session
    opens_database: frozenset[str]  # steps for which the session lets go of the database file


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the command line says about a plan, besides dbt's own options."""

    overrides: Settings = field(default_factory=Settings)
    pipeline: Settings = field(default_factory=Settings)  # of nodes that say nothing of their own
    steps: bool = True
    everything: bool = True  # no selection was given, so every step takes part
    fail_fast: bool = False
    freshness: bool = True  # sources are checked
    checks: bool = True  # and so is what has checks


def texts_to_resolve(config: Config) -> tuple[str, ...]:
    """Selections in ``produces`` and ``after`` that only dbt can read."""
    found: dict[str, None] = {}
    for spec in config.steps.values():
        for text in (*spec.produces, *spec.after):
            if _step_named(text, config) is None and not text.startswith(_STEP):
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
    wiring = _Wiring(selected, config)
    steps = wiring.chosen(choice) if choice.steps else {}
    members = [node for node in selected.nodes if node.id in selected.selected]
    hooks = [node for node in selected.nodes if node.kind is Kind.OPERATION] if members else []
    gates = _gates(selected, config, settings, choice)
    checking = _checking(selected, config, settings, choice, remember)
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
    on_engine |= {s.id for s in steps.values() if s.type == "sql"}
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
    graph, policies = with_session(
        nodes,
        edges,
        frozenset(on_engine),
        policies,
        retry=levels.retry(),
    )
    plan = Plan(
        graph=graph,
        policies=policies,
        pools={**config.pools, THREADS: selected.threads, STEPS: config.max_steps},
        expected=durations,
        fail_fast=choice.fail_fast or selected.fail_fast,
        breaker=config.circuit_breaker,
        limits=gates.limits or {},
        checks=checking.watches,
        batches=selected.batches,
        apart=levels.apart(nodes, edges) if selected.batches is not None else frozenset(),
    )
    ends = {node.id for node in graph.nodes.values() if node.kind is Kind.SESSION}
    return Planned(plan=plan, on_engine=frozenset(on_engine | ends), opens_database=opens)


def _gates(
    selected: Selected, config: Config, settings: Mapping[str, Settings], choice: Choice
) -> Gates:
    try:
        return find_gates(selected, config, settings, wanted=choice.freshness)
    except GatingError as error:
        raise PlanError(str(error)) from error


def _checking(
    selected: Selected,
    config: Config,
    settings: Mapping[str, Settings],
    choice: Choice,
    remember: Remember | None,
) -> Checking:
    try:
        return find_checks(selected, config, settings, remember, wanted=choice.checks)
    except CheckingError as error:
        raise PlanError(str(error)) from error


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
        self.nodes = {spec.id: step_node(spec) for spec in specs}
        self.produces = {spec.id: self._sources(spec) for spec in specs}
        self.after = {spec.id: self._after(spec) for spec in specs}
        self._one_producer_each(specs)
        self.project = self._whole_graph()

    def chosen(self, choice: Choice) -> dict[str, StepSpec]:
        """Steps that take part, by name.

        Without a selection all do. With one, a step comes along with the source it produces, or
        when all the dbt nodes it comes after are selected; and with it the steps before it.
        """
        specs = self._config.steps
        if choice.everything:
            return dict(specs)
        taken = {spec.id for spec in specs.values() if self._is_selected(spec)}
        while True:
            more = {
                spec.id
                for spec in specs.values()
                if spec.id not in taken and self._comes_along(spec, taken)
            }
            if not more:
                break
            taken |= more
        return {name: spec for name, spec in specs.items() if spec.id in taken}

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

    def _is_selected(self, spec: StepSpec) -> bool:
        if self.produces[spec.id] & self._selected.selected_sources:
            return True
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
                raise PlanError(
                    f"{spec.origin}: step {spec.name} produces {text!r}, which is no source but "
                    f"{min(wrong)}; write source:<source name>.<table>"
                )
            if not ids:
                raise PlanError(self._unknown(spec, "produces", text))
            found |= ids
        return frozenset(found)

    def _after(self, spec: StepSpec) -> frozenset[str]:
        found: set[str] = set()
        for text in spec.after:
            step = _step_named(text, self._config)
            ids = {step} if step is not None else self._selected.resolved.get(text, frozenset())
            if not ids:
                raise PlanError(self._unknown(spec, "comes after", text))
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
                    raise PlanError(
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
            raise PlanError(
                f"{error}; change produces or after of step {' or '.join(where)}"
            ) from error


def _step_named(text: str, config: Config) -> str | None:
    """The id of the step a text names; None when dbt has to say what it means."""
    name = text.removeprefix(_STEP).removeprefix("step.")
    if name in config.steps and (name != text or ":" not in text):
        return config.steps[name].id
    return None


def _selection_of(node: Node) -> str:
    prefix = {Kind.SOURCE: "source:", Kind.EXPOSURE: "exposure:"}.get(node.kind, "")
    return f"{prefix}{node.name}"


def _opens_database(spec: StepSpec, selected: Selected) -> bool:
    if selected.exclusive_file is None or spec.type == "sql":
        return False
    if spec.opens_database is not None:
        return spec.opens_database
    return spec.type != "http"
