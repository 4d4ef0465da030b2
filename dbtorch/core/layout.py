"""Where the nodes of a graph are drawn: layers from left to right, few crossings, short edges.

Layers by the longest path, their order by barycentres, heights by a least-squares fit that keeps
what is drawn apart. The same graph is drawn the same way each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, sqrt

#: Rows of a layer; a higher one is broken into several columns, and no edge is led around nodes.
_ROWS = 36

#: Bends of all edges, at most; with more of them edges are straight.
_BENDS = 2_500

#: Times that layers are put in order from one side to the other and back, and that heights are
#: fitted; what is small is fitted until it is straight.
_SWEEPS = 5
_SMALL, _FITS = 150, 30

#: Rows that a bend takes.
_BEND = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Places in columns and rows, from 0; a node takes one of each."""

    places: Mapping[str, tuple[int, float]]  # id -> column and row
    bends: Mapping[tuple[str, str], tuple[tuple[int, float], ...]]  # of edges over several layers
    columns: int
    rows: float


def layout(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> Layout:
    """Place nodes. Cycles, which groups of nodes may have, are drawn from right to left somewhere.

    Raises `KeyError` for an edge to something else.
    """
    number = {id: place for place, id in enumerate(ids)}
    pairs = list(dict.fromkeys((number[a], number[b]) for a, b in edges if a != b))
    linked = {end for pair in pairs for end in pair}
    alone = [id for place, id in enumerate(ids) if place not in linked]
    forward = _without_cycles(len(ids), pairs)
    layer = _layers(len(ids), forward, linked)
    drawing = _Drawing(layer, [*forward], sorted(linked))
    drawing.order()
    drawing.place()
    places = {ids[one]: drawing.spot(one) for one in drawing.nodes}
    columns = drawing.columns
    rows = max((row for _, row in places.values()), default=-1.0) + 1
    wide = max(columns, min(len(alone), ceil(sqrt(2 * len(alone)))))
    for place, id in enumerate(alone):  # beneath everything, as it reads
        places[id] = (place % wide, rows + place // wide)
    return Layout(
        places=places,
        bends={
            (ids[a], ids[b]): tuple(map(drawing.spot, bends))
            for (a, b), bends in drawing.bends.items()
        },
        columns=max(columns, wide if alone else 0),
        rows=max((row for _, row in places.values()), default=-1.0) + 1,
    )


def _without_cycles(count: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges but for those that lead back to where a walk has come from."""
    after: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        after[a].append(b)
    kept: list[tuple[int, int]] = []
    seen, done = [False] * count, [False] * count
    for start in range(count):
        stack = [] if seen[start] else [(start, iter(after[start]))]
        seen[start] = True
        while stack:
            one, following = stack[-1]
            for next in following:
                if seen[next] and not done[next]:
                    continue
                kept.append((one, next))
                if not seen[next]:
                    seen[next] = True
                    stack.append((next, iter(after[next])))
                    break
            else:
                done[one] = True
                stack.pop()
    return kept


def _layers(count: int, edges: Sequence[tuple[int, int]], linked: set[int]) -> list[int]:
    """The longest path that leads to each; what nothing leads to stands before its first child."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for a, b in edges:
        after[a].append(b)
        waiting[b] += 1
    roots = [one for one in sorted(linked) if not waiting[one]]
    layer, ready = [0] * count, list(roots)
    while ready:
        one = ready.pop()
        for next in after[one]:
            layer[next] = max(layer[next], layer[one] + 1)
            waiting[next] -= 1
            if not waiting[next]:
                ready.append(next)
    for one in roots:
        layer[one] = min(layer[next] for next in after[one]) - 1
    return layer


class _Drawing:
    """Nodes and bends in layers; a bend is a number beyond those of all nodes."""

    def __init__(self, layer: list[int], edges: list[tuple[int, int]], nodes: list[int]) -> None:
        self.nodes = nodes
        self._layer = list(layer)
        self._first_bend = len(layer)
        heights: dict[int, int] = {}
        for one in nodes:
            heights[layer[one]] = heights.get(layer[one], 0) + 1
        bends = sum(layer[b] - layer[a] - 1 for a, b in edges)
        tallest = max(heights.values(), default=0)
        self._dense = tallest > _ROWS or bends > _BENDS
        self.bends: dict[tuple[int, int], list[int]] = {}
        links = edges if self._dense else list(self._bent(edges))
        self._before: list[list[int]] = [[] for _ in self._layer]
        self._after: list[list[int]] = [[] for _ in self._layer]
        for a, b in links:
            self._after[a].append(b)
            self._before[b].append(a)
        self._columns: list[list[int]] = [[] for _ in range(max(heights, default=-1) + 1)]
        for one in (*nodes, *range(self._first_bend, len(self._layer))):
            self._columns[self._layer[one]].append(one)
        self._row = [0.0] * len(self._layer)
        self._column = list(self._layer)
        self.columns = len(self._columns)

    def _bent(self, edges: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
        """Edges from layer to layer."""
        for a, b in edges:
            way = [a]
            for between in range(self._layer[a] + 1, self._layer[b]):
                way.append(len(self._layer))
                self._layer.append(between)
            way.append(b)
            if len(way) > 2:
                self.bends[a, b] = way[1:-1]
            yield from pairwise(way)

    def spot(self, one: int) -> tuple[int, float]:
        """Column and row; a bend is less high than a node, and its middle counts."""
        middle = (self._size(one) - 1) / 2
        return self._column[one], round(self._row[one] + middle, 2)

    def order(self) -> None:
        """Put each layer in the order of what its nodes are linked to."""
        for found in self._columns:
            self._number(found)
        for sweep in range(2 * _SWEEPS):
            near = self._after if sweep % 2 else self._before
            for column in reversed(self._columns) if sweep % 2 else self._columns:
                if len(column) > 1:
                    column.sort(key=self._centres(column, near).__getitem__)
                    self._number(column)

    def _number(self, column: Sequence[int]) -> None:
        for place, one in enumerate(column):
            self._row[one] = place / len(column)

    def _centres(self, column: Sequence[int], near: list[list[int]]) -> dict[int, float]:
        row = self._row
        return {
            one: sum(row[other] for other in near[one]) / len(near[one]) if near[one] else row[one]
            for one in column
        }

    def place(self) -> None:
        """Give every node its height."""
        if self._dense:
            self._pack()
            return
        tallest = max(map(self._height, self._columns), default=0.0)
        for column in self._columns:
            self._stack(column, (tallest - self._height(column)) / 2)
        for sweep in range(2 * (_FITS if len(self._layer) < _SMALL else _SWEEPS)):
            for column in reversed(self._columns) if sweep % 2 else self._columns:
                self._settle(column, self._after if sweep % 2 else self._before)
        for column in self._columns:  # at last, so that chains are straight
            self._settle(column, self._before)
        top = min((self._row[one] for column in self._columns for one in column), default=0.0)
        self._row = [row - top for row in self._row]

    def _pack(self) -> None:
        """Break high layers into columns of about the same height."""
        high = max(_ROWS, ceil(1.2 * sqrt(len(self.nodes))))
        column = 0
        for found in self._columns:
            parts = max(1, ceil(len(found) / high))
            each = ceil(len(found) / parts)
            for place, one in enumerate(found):
                self._column[one] = column + place // each
                self._row[one] = place % each + max(0.0, (high - each) / 2)
            column += parts
        self.columns = column

    def _size(self, one: int) -> float:
        return 1.0 if one < self._first_bend else _BEND

    def _height(self, column: Sequence[int]) -> float:
        return sum(map(self._size, column))

    def _stack(self, column: Sequence[int], top: float) -> None:
        for one in column:
            self._row[one], top = top, top + self._size(one)

    def _settle(self, column: Sequence[int], near: list[list[int]]) -> None:
        """As near as can be to the middle of what each is linked to, in order, and apart.

        Fitting a sequence that never falls (pool adjacent violators) to what is wanted, less the
        room that those before take.
        """
        if len(column) == 1:
            if others := near[column[0]]:
                self._row[column[0]] = sum(self._row[other] for other in others) / len(others)
            return
        room, blocks = 0.0, list[tuple[float, int]]()  # each: mean, and how many
        offsets = []
        for one in column:
            links = [self._row[other] for other in near[one]]
            wanted = sum(links) / len(links) if links else self._row[one]
            offsets.append(room)
            mean, count = wanted - room, 1
            while blocks and blocks[-1][0] > mean:
                other, many = blocks.pop()
                mean, count = (mean * count + other * many) / (count + many), count + many
            blocks.append((mean, count))
            room += self._size(one)
        found = (mean for mean, count in blocks for _ in range(count))
        for one, offset, mean in zip(column, offsets, found, strict=True):
            self._row[one] = mean + offset
