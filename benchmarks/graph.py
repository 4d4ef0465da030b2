"""What graphs cost: layouts of several shapes, parts of a run's graph, nodes from run to run.

python benchmarks/graph.py [--nodes 3000] [--runs 30]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ui import copy
from dbtorch.core.layout import layout
from dbtorch.service.history.graph_page import Asked, By, RunGraph, graph_json, picture
from dbtorch.service.history.node_page import node_page, nodes_page
from dbtorch.service.history.run import show_run
from tests.web.shops import large

Edges = list[tuple[str, str]]


def shapes(count: int, chance: random.Random) -> Iterator[tuple[str, Edges]]:
    """Graphs of so many nodes: as dbt projects are, deep, wide, and in which all follows all."""

    def after(number: int, first: int) -> tuple[str, str]:
        return f"n{chance.randrange(max(0, first), number)}", f"n{number}"

    layers = (0, count // 10, count // 2, count * 4 // 5, count)
    dbt = []
    for first, start, end in zip(layers, layers[1:], layers[2:], strict=False):
        dbt += [
            (f"n{chance.randrange(first, start)}", f"n{number}")
            for number in range(start, end)
            for _ in range(chance.choice((1, 1, 2, 3)))
        ]
    yield "layers, as dbt projects have them", dbt
    yield "a line of all", [(f"n{number - 1}", f"n{number}") for number in range(1, count)]
    yield "deep and narrow", [after(number, number - 20) for number in range(1, count)]
    yield "one that all others follow", [("n0", f"n{number}") for number in range(1, count)]
    yield "three parents anywhere before", [after(n, 0) for n in range(1, count) for _ in range(3)]


def timed(name: str, work: Callable[[], object], times: int = 5) -> None:
    spent = []
    for _ in range(times):
        begun = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - begun))
    print(f"{name:<52} {median(spent):8.1f} ms of CPU (best {min(spent):.1f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=30)
    said = parser.parse_args()
    ids = [f"n{number}" for number in range(said.nodes)]
    for name, edges in shapes(said.nodes, random.Random(1)):
        timed(f"layout, {name}", lambda edges=edges: layout(ids, edges))  # type: ignore[misc]
    store = large(said.nodes)
    report = show_run(store, "latest", transitions=False)
    timed("graph of a run, read from its record", lambda: RunGraph(report.record, report.state, {}))
    graph = RunGraph(report.record, report.state, {})
    timed("what failed and one step around it", lambda: picture(graph, Asked()))
    timed("around one node", lambda: picture(graph, Asked(focus=(said.nodes // 2,))))
    timed("all nodes in folders", lambda: picture(graph, Asked(by=By.FOLDER)))
    timed("everything", lambda: picture(graph, Asked(everything=True)))
    timed("what a page is told of all nodes", lambda: graph_json(graph, {}))
    copy(store, said.runs)
    timed(f"nodes that need a look, by {said.runs} runs", lambda: nodes_page(store, "dev"), 3)
    timed("one node from run to run", lambda: node_page(store, "dev", report.record.nodes[7].id))


if __name__ == "__main__":
    main()
