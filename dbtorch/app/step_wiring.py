"""Which steps take part in a run, and where they stand among dbt's nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dbtorch.core.config import Config, StepSpec
from dbtorch.core.errors import PlanError
from dbtorch.core.model.graph import CycleError, Graph, Kind, Node
from dbtorch.core.model.selection import step_named
from dbtorch.core.settings import Settings
from dbtorch.core.text.nearest import did_you_mean

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected

_STEP = "step:"


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


class StepWiring:
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
                    spec.origin.says(
                        f"step {spec.name} produces {text!r}, which is no source but "
                        f"{min(wrong)}; write source:<source name>.<table>"
                    )
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
            return spec.origin.says(
                f'step {spec.name} {verb} "{text}", which dbt cannot read: {why}'
            )
        names = [_selection_of(node) for node in self._selected.nodes]
        names += [f"{_STEP}{name}" for name in self._config.steps]
        hint = did_you_mean(text, names)
        return spec.origin.says(f'step {spec.name} {verb} "{text}", which nothing matches{hint}')

    def _one_producer_each(self, specs: Iterable[StepSpec]) -> None:
        producer: dict[str, StepSpec] = {}
        for spec in specs:
            for source in sorted(self.produces[spec.id]):
                first = producer.setdefault(source, spec)
                if first is not spec:
                    self._wrong.append(
                        spec.origin.says(
                            f"step {spec.name} produces {source}, which step "
                            f"{first.name} ({first.origin}) already does; a source has one producer"
                        )
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
