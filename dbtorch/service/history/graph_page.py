"""What a page about the graph of a run shows: a part of it at a time, and where that is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from dbtorch.core.errors import UsageError
from dbtorch.core.history.records import NodeRecord, RunChanges, RunRecord
from dbtorch.core.history.summary import graph_of, summarize
from dbtorch.core.layout import layout
from dbtorch.core.model.graph import LOOKERS, Graph, Kind, Node
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import RunState, State

#: Nodes that a picture begins with, at most.
_SEEDS = 40

#: States that a picture begins with, the most urgent first; of a run that goes on, what runs.
_WRONG = (State.FAILED, State.CANCELLED, State.WARN, State.UPSTREAM_FAILED)
_AT_WORK = (State.FAILED, State.RUNNING, State.UP_FOR_RETRY, State.QUEUED)

#: States in which a test or a check is of interest without being asked for.
_OF_INTEREST = frozenset({*_WRONG, *_AT_WORK})

_Links = Mapping[str, list[str]]


class By(StrEnum):
    """What nodes are put together by."""

    NODE = "node"  # each is by itself
    FOLDER = "folder"
    TAG = "tag"
    PACKAGE = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which part of a graph; nodes are meant by their places in it."""

    focus: tuple[int, ...] = ()  # what it is about; empty: what failed or runs
    before: tuple[int, ...] = ()  # nodes whose parents are shown as well
    after: tuple[int, ...] = ()  # the same of children
    everything: bool = False
    tests: bool = False  # tests and checks that are well are shown, too
    by: By = By.NODE
    open: frozenset[str] = frozenset()  # groups whose nodes are shown


class RunGraph:
    """The nodes of a run, those of dbt's session left out, and what comes after what."""

    def __init__(self, run: RunRecord, state: str, known: Mapping[str, Node]) -> None:
        """``known`` is what the project's manifest says of nodes: tags are nowhere else."""
        self.run = run
        self.state = state  # a `RunState`, or "interrupted"
        self.nodes = tuple(node for node in run.nodes if node.kind is not Kind.SESSION)
        self.ids = tuple(node.id for node in self.nodes)
        self.graph = graph_of(run)
        path = summarize(run, latest=False).critical_path
        self.critical = tuple(one.id for one in path if one.kind is not Kind.SESSION)
        self._groups = {
            by: {node.id: name(node, known.get(node.id)) for node in self.nodes}
            for by, name in _NAMES.items()
        }

    def changed(self, news: RunChanges) -> RunGraph:
        """The same with what has changed since: states and attempts, never what depends on what."""
        if not news.nodes and news.state is self.run.state:
            return self
        found = copy(self)
        told = {node.id: node for node in news.nodes}
        found.nodes = tuple(told.get(node.id, node) for node in self.nodes)
        found.run = replace(self.run, state=news.state, finished_at=news.finished_at)
        found.state = news.state.value
        return found

    def group(self, by: By, id: str) -> str:
        """What a node is put under."""
        return self._groups[by][id]

    def named(self, places: Iterable[int]) -> list[str]:
        """The ids at some places. Raises `UsageError`."""
        found = list(places)
        if any(one >= len(self.ids) for one in found):
            raise UsageError(f"the run has {len(self.ids)} nodes, which are counted from 0")
        return [self.ids[one] for one in found]


def _folder(node: NodeRecord, _: Node | None) -> str:
    if node.kind is Kind.STEP or not node.path:
        return f"{node.kind.value}s"
    return node.path.rpartition("/")[0].strip("./") or "project"


def _tag(_: NodeRecord, known: Node | None) -> str:
    return min(known.tags) if known is not None and known.tags else "no tag"


def _package(node: NodeRecord, known: Node | None) -> str:
    if node.kind in (Kind.STEP, Kind.CHECK):
        return f"{node.kind.value}s"
    return (known.package if known is not None else "") or node.id.split(".")[1]


_NAMES = {By.FOLDER: _folder, By.TAG: _tag, By.PACKAGE: _package}


def picture(graph: RunGraph, asked: Asked) -> dict[str, Any]:
    """Boxes with their columns and rows, and edges between them by their places in ``boxes``.

    A box is of a ``node``, by its place, or of a ``group``. Raises `UsageError`.
    """
    focus, what = graph.named(asked.focus), ""
    if not focus:
        focus, what = _seeds(graph)
    sides = graph.named(asked.before), graph.named(asked.after)
    whole = asked.everything or asked.by is not By.NODE
    meant = {*sides[0], *sides[1], *(() if whole else focus)}
    left_out = set() if asked.tests else _well(graph) - meant
    after = _without_detours(graph, _led_around(graph.graph, left_out, set(graph.ids)))
    told: dict[str, Any] = {"what": "", "begins": (), "left_out": len(left_out)}
    before: dict[str, list[str]] = {id: [] for id in after}
    for id, children in after.items():
        for child in children:
            before[child].append(id)
    if asked.by is not By.NODE:
        return {**told, **_groups(graph, after, asked)}
    shown = dict.fromkeys(after if asked.everything else focus)
    if not asked.everything:
        for id in focus:
            shown |= dict.fromkeys((*before[id], *after[id]))
    for ids, near in zip(sides, (before, after), strict=True):
        for id in ids:
            shown |= dict.fromkeys((id, *near[id]))
    about = set(focus)
    begins = [place for place, id in enumerate(graph.ids) if id in about]
    told |= {"what": "" if asked.everything else what, "begins": begins}
    return {**told, **_boxes(graph, before, after, shown)}


def _seeds(graph: RunGraph) -> tuple[list[str], str]:
    """What a picture begins with, and in words what that is."""
    goes_on = graph.state == RunState.RUNNING
    states, what = (_AT_WORK, "failed or runs") if goes_on else (_WRONG, "is not well")
    found = [node for node in graph.nodes if node.state in states]
    found.sort(key=lambda node: states.index(node.state))
    if found:
        worst = found[:_SEEDS]
        most = f" ({len(found)} nodes, of which {_SEEDS} are shown)" if len(found) > _SEEDS else ""
        return [node.id for node in worst], f"what {what}{most}, and one step around it"
    if graph.critical:
        return [*graph.critical[:_SEEDS]], "nothing failed: the critical path, and one step around"
    return [*graph.ids[:_SEEDS]], "the first nodes, and one step around them"


def _well(graph: RunGraph) -> set[str]:
    """Tests and checks that nobody asks about: there are more of them than of all else."""
    return {
        node.id for node in graph.nodes if node.kind in LOOKERS and node.state not in _OF_INTEREST
    }


def _led_around(graph: Graph, left_out: set[str], among: set[str]) -> dict[str, list[str]]:
    """What comes after each node that is shown, past those that are not."""
    through: dict[str, dict[str, None]] = {}
    for id in reversed(graph.order()):
        found: dict[str, None] = {}
        for child in graph.children(id):
            found |= through[child] if child in left_out else dict.fromkeys([child])
        through[id] = found
    return {
        id: [child for child in through[id] if child in among]
        for id in graph.order()
        if id in among and id not in left_out
    }


def _without_detours(graph: RunGraph, after: _Links) -> dict[str, list[str]]:
    """The same without what tests only add: they hold up everything behind what they look at.

    An edge stays that the project itself has between others, and one that no longer way says.
    """
    kinds = {node.id: node.kind for node in graph.nodes}
    bit = {id: 1 << place for place, id in enumerate(after)}
    behind: dict[str, int] = {}  # everything after it, itself left out
    found: dict[str, list[str]] = {}
    for id in reversed(list(after)):
        own = set(graph.graph.children(id)) if kinds[id] not in LOOKERS else set()
        beyond, near = 0, 0
        for child in after[id]:
            beyond, near = beyond | behind[child], near | bit[child]
        found[id] = [
            child
            for child in after[id]
            if not beyond & bit[child] or (child in own and kinds[child] not in LOOKERS)
        ]
        behind[id] = near | beyond
    return found


def _boxes(graph: RunGraph, before: _Links, after: _Links, shown: Iterable[str]) -> dict[str, Any]:
    inside = set(shown)
    ids = [id for id in graph.ids if id in inside]
    place = {id: number for number, id in enumerate(graph.ids)}
    return _drawn(
        {
            id: {
                "node": place[id],
                "before": sum(one not in inside for one in before[id]),
                "after": sum(one not in inside for one in after[id]),
            }
            for id in ids
        },
        {(id, child): 1 for id in ids for child in after[id] if child in inside},
    )


def _groups(graph: RunGraph, after: _Links, asked: Asked) -> dict[str, Any]:
    boxes: dict[str, dict[str, Any]] = {}
    box: dict[str, str] = {}
    for number, id in enumerate(graph.ids):
        if id in after:
            group = graph.group(asked.by, id)
            is_open = group in asked.open
            box[id] = id if is_open else f"group {group}"
            boxes.setdefault(box[id], {"node": number} if is_open else {"group": group})
    edges: dict[tuple[str, str], int] = {}
    for id, children in after.items():
        for child in children:
            pair = box[id], box[child]
            if pair[0] != pair[1]:
                edges[pair] = edges.get(pair, 0) + 1
    return _drawn(boxes, edges)


def _drawn(
    boxes: Mapping[str, Mapping[str, Any]], edges: Mapping[tuple[str, str], int]
) -> dict[str, Any]:
    """Boxes at their places."""
    found = layout([*boxes], edges)
    number = {id: place for place, id in enumerate(boxes)}
    return {
        "columns": found.columns,
        "rows": found.rows,
        "boxes": [{**box, "at": found.places[id]} for id, box in boxes.items()],
        "edges": [
            {"from": number[a], "to": number[b], "count": count, "by": found.bends.get((a, b), ())}
            for (a, b), count in edges.items()
        ],
    }


def graph_json(graph: RunGraph, usual: Mapping[str, float]) -> dict[str, Any]:
    """What a page needs of all nodes: to search them, to colour them, to say what they are."""
    place = {id: number for number, id in enumerate(graph.ids)}
    critical = set(graph.critical)
    return {
        "run_id": graph.run.run_id,
        "pipeline": graph.run.pipeline,
        "target": graph.run.target,
        "state": graph.state,
        "nodes": [
            {
                "id": node.id,
                "label": label(node),
                "kind": node.kind.value,
                "state": node.state.value,
                **({"owner": node.owner} if node.owner else {}),
                **({"critical": True} if node.id in critical else {}),
                **({"tries": len(node.attempts)} if len(node.attempts) > 1 else {}),
                "seconds": round(sum(one.seconds or 0.0 for one in node.attempts), 2),
                "usual": usual.get(node.id),
                **{by.value: graph.group(by, node.id) for by in _NAMES},
            }
            for node in graph.nodes
        ],
        "edges": [
            (place[id], place[child])
            for id in graph.ids
            for child in graph.graph.children(id)
            if child in place
        ],
    }
