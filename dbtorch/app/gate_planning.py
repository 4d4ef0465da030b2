"""Which sources a run checks, and before what."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbtorch.core.config import Config
from dbtorch.core.errors import PlanError
from dbtorch.core.model.freshness import FreshnessSpec, Thresholds
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.settings import Settings
from dbtorch.core.text.nearest import did_you_mean

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected

#: Kinds that no gate holds back: what looks at a source is to see it as it is.
_LOOKS = (Kind.TEST, Kind.UNIT_TEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Sources that are checked, with the nodes that read them."""

    nodes: tuple[Node, ...] = ()
    readers: Mapping[str, frozenset[str]] | None = None  # by source
    limits: Mapping[str, Thresholds] | None = None  # by source

    def edges(self, producers: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str]]:
        """From a step to the source it produces, from there to what reads it.

        ``producers`` are the steps that take part, each with its sources.
        """
        for source, readers in (self.readers or {}).items():
            for reader in sorted(readers):
                yield source, reader
            for step, produced in producers.items():
                if source in produced:
                    yield step, source


def find_gates(
    selected: Selected,
    config: Config,
    settings: Mapping[str, Settings] | None = None,
    *,
    wanted: bool = True,
) -> Gates:
    """Sources with freshness that are read by what runs: by the nearest of those that run.

    Without ``freshness`` in dbtorch.yml only those whose own ``settings`` have a gate: a run that
    nobody has said anything about builds what `dbt build` would.

    Raises `PlanError` with all that is wrong.
    """
    if config.freshness is None:
        return Gates()
    if wrong := list(_wrong_names(selected, config.freshness)):
        raise PlanError(wrong)
    if not wanted or not selected.freshness:
        return Gates()
    graph = Graph(selected.nodes, selected.edges)
    among = {id for id in selected.selected if graph.nodes[id].kind not in _LOOKS}
    gated = {id for id, said in (settings or {}).items() if said.gate is not None}
    limits = {
        id: found
        for id, found in selected.freshness.items()
        if found.checkable and (config.freshness.everywhere or id in gated)
    }
    readers = {id: frozenset(graph.nearest(id, among)) for id in sorted(limits)}
    readers = {id: found for id, found in readers.items() if found}
    return Gates(
        nodes=tuple(graph.nodes[id] for id in readers),
        readers=readers,
        limits={id: limits[id] for id in readers},
    )


def _wrong_names(selected: Selected, spec: FreshnessSpec) -> Iterator[str]:
    known = {node.name: node.id for node in selected.nodes if node.kind is Kind.SOURCE}
    for gates in spec.sources:
        named = [name for name in known if gates.names(name)]
        if not named:
            hint = did_you_mean(gates.pattern, known)
            yield (
                f'{gates.where}: freshness.sources has "{gates.pattern}", which names no source'
                f"{hint}"
            )
            continue
        limits = selected.freshness.get(known[named[0]])
        if gates.exact and (limits is None or not limits.checkable):
            yield (
                f"{gates.where}: dbt does not check source {gates.pattern}: give it freshness with"
                " warn_after or error_after, and loaded_at_field or loaded_at_query"
            )
