"""Which relations a run checks, and between what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from dbtorch.core.config import Config
from dbtorch.core.errors import PlanError
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.measure import LAST, ROW_COUNT, SCHEMA, check_id
from dbtorch.core.model.naming import short_name
from dbtorch.core.settings import Settings, checks_over
from dbtorch.core.text.nearest import did_you_mean

if TYPE_CHECKING:  # most runs check nothing
    from dbtorch.core.checks.relation_checks import (
        CheckSettings,
        History,
        PatternChecks,
        RelationChecks,
    )
    from dbtorch.ports.engine import Selected
    from dbtorch.ports.store import Store

#: Kinds that leave a relation behind.
BUILT = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)

#: Kinds that no check holds back: what looks at a relation is to see it as it is.
_LOOKS = (Kind.TEST, Kind.UNIT_TEST, Kind.OPERATION, Kind.SESSION)

#: Answers what earlier runs found.
Remember: TypeAlias = "Callable[[RelationChecks], History]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checking:
    """Nodes that check relations, with what they look at."""

    nodes: tuple[Node, ...] = ()
    watches: Mapping[str, RelationChecks] = field(default_factory=dict)  # by the checking node
    readers: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by source

    def edges(
        self,
        among: Iterable[tuple[str, str]],
        kinds: Mapping[str, Kind],
        producers: Mapping[str, Collection[str]],
    ) -> Iterator[tuple[str, str]]:
        """From a relation to its check, and from there to what needs the relation.

        ``among`` are the edges of the run without checks; ``producers`` its steps, each with the
        sources it produces.
        """
        checked = {watch.relation: id for id, watch in self.watches.items()}
        for relation, id in checked.items():
            if relation in self.readers:
                yield from ((id, reader) for reader in sorted(self.readers[relation]))
                yield from (
                    (step, id) for step, produced in producers.items() if relation in produced
                )
            else:
                yield relation, id
        for before, after in among:
            if before in checked and before not in self.readers and kinds[after] not in _LOOKS:
                yield checked[before], after


def find_checks(
    selected: Selected,
    config: Config,
    settings: Mapping[str, Settings],
    remember: Remember | None = None,
    *,
    wanted: bool = True,
    but: Sequence[str] = (),
) -> Checking:
    """Checks of what the run builds, and of the sources that it reads, ``but`` for some by name.

    Raises `PlanError` with all that is wrong.
    """
    if not (config.checks or but or any(said.checks for said in settings.values())):
        return Checking()
    if wrong := [*_wrong_names(selected, config.checks), *_wrong_left_out(selected, but)]:
        raise PlanError(wrong)
    if not wanted:
        return Checking()
    from dbtorch.core.checks.relation_checks import History, RelationChecks

    graph = Graph(selected.nodes, selected.edges)
    nodes: list[Node] = []
    watches: dict[str, RelationChecks] = {}
    readers: dict[str, frozenset[str]] = {}
    members = {id for id in selected.selected if graph.nodes[id].kind not in _LOOKS}
    for node in selected.nodes:
        is_source = node.kind is Kind.SOURCE
        if not (is_source or (node.id in members and _has_relation(node))):
            continue
        own = settings.get(node.id, Settings()).checks
        said = checks_over(own, _of(node, config.checks)) or {}
        checks = tuple(check for found in said.values() for check in found)
        if not checks or any(_is_named(node, pattern) for pattern in but):
            continue
        if is_source:
            found = frozenset(graph.nearest(node.id, members))
            if not found:
                continue
            readers[node.id] = found
        watch = RelationChecks(relation=node.id, checks=checks)
        checking = _node(node, watch)
        nodes.append(checking)
        watches[checking.id] = replace(watch, history=remember(watch) if remember else History())
    return Checking(nodes=tuple(nodes), watches=watches, readers=readers)


def _node(relation: Node, watch: RelationChecks) -> Node:
    """The node that checks a relation."""
    return Node(
        id=check_id(relation.id),
        kind=Kind.CHECK,
        name=short_name(relation),
        package=relation.package,
        path=relation.path,
        owner=relation.owner,
        runbook=relation.runbook,
        group=relation.group,
        on_error=relation.on_error,
        checksum=hashlib.sha256(repr(watch.checks).encode()).hexdigest(),
    )


def _of(node: Node, patterns: Iterable[PatternChecks]) -> CheckSettings:
    """What dbtorch.yml says of a node: its name wins over patterns, a later one over others."""
    about = [one for one in patterns if _is_about(one, node)]
    said: CheckSettings = {}
    for one in sorted(about, key=lambda one: one.exact):
        said = {**said, **one.checks}
    return said


def _is_about(pattern: PatternChecks, node: Node) -> bool:
    right_kind = node.kind is Kind.SOURCE if pattern.sources else node.kind in BUILT
    return right_kind and any(map(pattern.names, {node.name, short_name(node)}))


def _is_named(node: Node, pattern: str) -> bool:
    names = {node.name, short_name(node), node.id}
    return any(fnmatchcase(name, pattern) for name in names)


def _has_relation(node: Node) -> bool:
    return node.kind in BUILT and node.materialized != "ephemeral"


def _wrong_names(selected: Selected, patterns: Iterable[PatternChecks]) -> Iterator[str]:
    for pattern in patterns:
        what = "sources" if pattern.sources else "models"
        about = [node for node in selected.nodes if _is_about(pattern, node)]
        where = f'{pattern.where}: checks.{what} has "{pattern.pattern}"'
        if not about:
            every = replace(pattern, pattern="*")
            names = [short_name(n) for n in selected.nodes if _is_about(every, n)]
            hint = did_you_mean(pattern.pattern, names)
            kinds = "source" if pattern.sources else "model, seed or snapshot"
            yield f"{where}, which names no {kinds}{hint}"
        elif pattern.exact and not pattern.sources and not any(map(_has_relation, about)):
            yield f"{where}, which is ephemeral: there is no relation that could be checked"


def _wrong_left_out(selected: Selected, patterns: Iterable[str]) -> Iterator[str]:
    relations = [node for node in selected.nodes if node.kind in (Kind.SOURCE, *BUILT)]
    for pattern in patterns:
        if not any(_is_named(node, pattern) for node in relations):
            hint = did_you_mean(pattern, (short_name(node) for node in relations))
            yield f'"check:{pattern}" names nothing that could be checked{hint}'


def earlier(store: Store, watch: RelationChecks, target: str, run_id: str = "") -> History:
    """What runs before this one found."""
    from dbtorch.core.checks.relation_checks import History, RowCountChange

    last = max([LAST, *(check.last for check in watch.checks if isinstance(check, RowCountChange))])
    asks = watch.asks()
    series = partial(store.measured, target, watch.relation, but=run_id)
    rows = series(ROW_COUNT, last=last) if asks["rows"] else []
    schema = series(SCHEMA, last=1, settled=check_id(watch.relation)) if asks["columns"] else []
    return History(
        rows=tuple(one.number for one in rows if one.number is not None),
        columns=tuple((name, type) for name, type in schema[0].detail) if schema else None,
    )
