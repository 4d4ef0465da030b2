"""What the nodes of a project are in Dagster: assets, checks of assets, and selections of both."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import dagster as dg

from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.measure import relation_of
from dbtorch.core.model.naming import short_name
from dbtorch.core.schedule.partition import Grain, PartitionSpec
from dbtorch.service.api import Project
from dbtorch.service.health.health import max_ages
from dbtorch.service.planning.plan import Plan
from dbtorch.service.project.project import open_project

#: Says which asset a node is: the parts of its key.
AssetKeyOf: TypeAlias = "Callable[[Node], Sequence[str]]"

#: Kinds that are assets where they are part of a run.
_ASSETS = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT, Kind.FUNCTION, Kind.SAVED_QUERY, Kind.STEP)

#: Kinds that are checks of assets; a source that is looked at is a check of itself.
_CHECKS = (Kind.TEST, Kind.UNIT_TEST, Kind.CHECK, Kind.SOURCE)

#: How Dagster writes the keys of partitions: as dbtorch does.
_FORMS = {
    Grain.HOUR: "%Y-%m-%dT%H",
    Grain.DAY: "%Y-%m-%d",
    Grain.WEEK: "%Y-%m-%d",
    Grain.MONTH: "%Y-%m",
}

#: The shortest time that Dagster has a freshness policy for.
_SHORTEST = 60.0

_TAG = re.compile(r"([\w.-]{1,63}/)?[\w.-]{1,63}", re.ASCII)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", re.ASCII)


def asset_key(node: Node) -> Sequence[str]:
    """The key of a node: its name, of a source with the name of what it belongs to.

    That of a step begins with ``step``. dbt's ``meta.dagster.asset_key`` wins.
    """
    said = node.meta.get("dagster")
    if isinstance(said, Mapping) and said.get("asset_key"):
        return [str(part) for part in said["asset_key"]]
    if node.kind is Kind.SOURCE:
        return node.id.split(".", 3)[2:]
    return [node.kind.value, node.name] if node.kind is Kind.STEP else [_named(node)]


def valid_name(text: str) -> str:
    """A name as Dagster takes it."""
    return re.sub(r"\W", "_", text, flags=re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assets:
    """All that Dagster is to know of a project."""

    lineage: Graph  # all of dbt's nodes and all steps
    nodes: Mapping[str, Node]  # that pipelines run, as they are called there
    members: Mapping[str, frozenset[str]]  # pipeline -> assets and checks; "": all there are
    keys: Mapping[str, dg.AssetKey]  # of assets, by the ids of nodes
    checks: Mapping[str, dg.AssetCheckKey]
    others: Mapping[str, dg.AssetKey]  # of what is built, but by none of the pipelines
    partitions: Mapping[str, PartitionSpec]  # of assets, by the ids of nodes
    max_ages: Mapping[str, float]  # seconds

    @classmethod
    def of(
        cls,
        project: Project,
        pipelines: Mapping[str, PipelineSpec],
        *,
        key: AssetKeyOf,
        everything: bool,
    ) -> Assets:
        """What the pipelines run, and with ``everything`` all nodes besides."""
        plans = {name: project.plan(cached=True, pipeline=name) for name in pipelines}
        if everything:
            plans[""] = project.plan(cached=True)
        lineage = _together(plans.values())
        nodes = {id: node for plan in plans.values() for id, node in plan.graph.nodes.items()}
        built = {id for id, node in nodes.items() if node.kind in _ASSETS}
        looked_at = {relation_of(id) for id, node in nodes.items() if node.kind is Kind.CHECK}
        built |= {id for id in looked_at | _sources(lineage, nodes) if Kind.of(id) is Kind.SOURCE}
        keys = _keys(lineage, key)
        checks = _checks(lineage, nodes, {id: keys[id] for id in built})
        members = {name: _members(lineage, plan, built, checks) for name, plan in plans.items()}
        opened = open_project(str(project.dir))
        return cls(
            lineage=lineage,
            nodes=nodes,
            members=members,
            keys={id: found for id, found in keys.items() if id in built},
            checks=checks,
            others={id: found for id, found in keys.items() if id not in built},
            partitions=_partitions(pipelines, members, built),
            max_ages=max_ages(opened, lineage.nodes.values()),
        )

    def of_pipeline(self, name: str) -> frozenset[str]:
        """Ids of its assets and checks; none where there is no such pipeline."""
        return self.members.get(name, frozenset())

    def produced_by(self, step: str) -> Iterator[str]:
        """Ids of the sources that a step fills."""
        children = self.lineage.children(step) if Kind.of(step) is Kind.STEP else ()
        return (id for id in children if id in self.keys and Kind.of(id) is Kind.SOURCE)

    def selection(self, id: str) -> str:
        """What selects this asset or check, and nothing else."""
        node = self.lineage.nodes.get(id) or self.nodes[id]
        match node.kind:
            case Kind.STEP:
                return f"step:{node.name}"
            case Kind.SOURCE:
                return f"source:{id.partition('.')[2]}"
            case Kind.CHECK:  # comes along with what it looks at
                return self.selection(relation_of(id))
        return f"fqn:{short_name(node)},package:{node.package},resource_type:{node.kind.value}"

    def specs(self) -> Iterator[dg.AssetSpec]:
        """What Dagster shows of each asset."""
        known = {**self.others, **self.keys}
        for id, key in self.keys.items():
            node = self.nodes.get(id) or self.lineage.nodes[id]
            limit = self.max_ages.get(id)
            said = {"id": id, "path": node.path, "runbook": node.runbook, "tags": [*node.tags]}
            partition = self.partitions.get(id)
            yield dg.AssetSpec(
                key,
                deps=[known[before] for before in sorted(_above(self.lineage, id, known))],
                description=node.description or None,
                metadata={f"dbtorch/{name}": value for name, value in said.items() if value},
                skippable=True,
                group_name=valid_name(node.group) if node.group else None,
                code_version=node.checksum or None,
                owners=self.owners(node.owner),
                tags={tag: "" for tag in node.tags if _TAG.fullmatch(tag)},
                kinds={
                    "dbtorch" if node.kind is Kind.STEP else "dbt",
                    valid_name(node.materialized or node.kind.value),
                },
                partitions_def=definition_of(partition) if partition is not None else None,
                freshness_policy=dg.FreshnessPolicy.time_window(
                    timedelta(seconds=max(limit, _SHORTEST))
                )
                if limit is not None
                else None,
            )

    def check_specs(self) -> Iterator[dg.AssetCheckSpec]:
        """What Dagster shows of each check. None is blocking: what comes after is dbtorch's."""
        for id, key in self.checks.items():
            yield dg.AssetCheckSpec(
                key.name,
                asset=key.asset_key,
                description=self.nodes[id].description or None,
                metadata={"dbtorch/id": id},
            )

    @staticmethod
    def owners(owner: str) -> list[str] | None:
        """An owner as Dagster takes it: a mail address, or a team."""
        if not owner:
            return None
        return [owner if _MAIL.fullmatch(owner) else f"team:{owner}"]


def _named(node: Node) -> str:
    return short_name(node).replace(".", "_")


def _together(plans: Iterable[Plan]) -> Graph:
    """All nodes of the project, where not each target has them all."""
    graphs = [plan.project for plan in plans]
    if all(graph.nodes.keys() == graphs[0].nodes.keys() for graph in graphs):
        return graphs[0]
    nodes = {id: node for graph in graphs for id, node in graph.nodes.items()}
    edges = dict.fromkeys(edge for graph in graphs for edge in graph.edges())
    return Graph(nodes.values(), edges)


def _keys(lineage: Graph, key: AssetKeyOf) -> dict[str, dg.AssetKey]:
    """Keys of all that may be an asset; a name that is there twice has its package before it."""
    able = [
        node
        for node in lineage.nodes.values()
        if node.kind in (*_ASSETS, Kind.SOURCE) and node.materialized != "ephemeral"
    ]
    found = {node.id: tuple(key(node)) for node in able}
    count = Counter(found.values())
    found |= {
        node.id: (node.package, *found[node.id])
        for node in able
        if count[found[node.id]] > 1 and node.package
    }
    taken: dict[tuple[str, ...], str] = {}
    for id, parts in found.items():
        if (other := taken.setdefault(parts, id)) != id:
            raise UsageError(
                f"{other} and {id} are both the asset {'/'.join(parts)}: give one another"
                " meta.dagster.asset_key"
            )
    return {id: dg.AssetKey(parts) for id, parts in found.items()}


def _above(lineage: Graph, id: str, among: Mapping[str, Any]) -> set[str]:
    """Members that come right before a node, through what is no member."""
    found: set[str] = set()
    seen, waiting = {id}, [id]
    while waiting:
        for before in lineage.parents(waiting.pop()):
            if before in among:
                found.add(before)
            elif before not in seen:
                seen.add(before)
                waiting.append(before)
    return found


def _checks(
    lineage: Graph, nodes: Mapping[str, Node], keys: Mapping[str, dg.AssetKey]
) -> dict[str, dg.AssetCheckKey]:
    """Checks by the ids of nodes. A test of several assets is one of that which is built last."""
    order = {id: at for at, id in enumerate(lineage.order())}
    found: dict[str, dg.AssetCheckKey] = {}
    taken: set[dg.AssetCheckKey] = set()
    for id, node in nodes.items():
        if node.kind not in _CHECKS:
            continue
        if node.kind in (Kind.CHECK, Kind.SOURCE):
            about = {relation_of(id)} & keys.keys()
            name = "freshness" if node.kind is Kind.SOURCE else "checks"
        else:
            about = _above(lineage, id, keys) if id in lineage else set()
            name = valid_name(node.name)
        if not about:  # a test of nothing that is an asset
            continue
        asset = keys[max(about, key=lambda one: order[one])]
        check = dg.AssetCheckKey(asset, name)
        if check in taken:
            check = dg.AssetCheckKey(asset, valid_name(id))
        taken.add(check)
        found[id] = check
    return found


def _sources(lineage: Graph, nodes: Iterable[str]) -> set[str]:
    """Sources among nodes, and before them."""
    known = {id for id in nodes if id in lineage}
    return {id for id in known | lineage.ancestors(*known) if Kind.of(id) is Kind.SOURCE}


def _members(
    lineage: Graph, plan: Plan, built: set[str], checks: Mapping[str, Any]
) -> frozenset[str]:
    """Assets and checks of a plan, with the sources of what it runs."""
    mine = {id for id in plan.graph.nodes if id in built or id in checks}
    sources = _sources(lineage, plan.graph.nodes)
    return frozenset(mine | sources | {id for id in map(relation_of, mine) if id in built})


def _partitions(
    pipelines: Mapping[str, PipelineSpec],
    members: Mapping[str, frozenset[str]],
    built: set[str],
) -> dict[str, PartitionSpec]:
    """Partitions of the assets whose pipelines all have the same."""
    found = {}
    for id in built:
        mine = [spec.partition for name, spec in pipelines.items() if id in members[name]]
        said = {replace(one, lookback=0) if one is not None else None for one in mine}
        only = said.pop() if len(said) == 1 else None
        if only is not None:
            found[id] = only
    return found


def definition_of(spec: PartitionSpec) -> dg.TimeWindowPartitionsDefinition:
    """Partitions as Dagster knows them."""
    return dg.TimeWindowPartitionsDefinition(
        start=spec.start.astimezone(ZoneInfo(spec.timezone)).replace(tzinfo=None),
        fmt=_FORMS[spec.by],
        timezone=spec.timezone,
        cron_schedule=spec.cron,
    )
