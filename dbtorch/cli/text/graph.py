"""A graph as text, Mermaid, DOT or JSON. Ends of the session and hooks are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.naming import names_among, short_name
from dbtorch.core.plan import Plan
from dbtorch.core.run.simulation import is_shown
from dbtorch.core.text.phrases import many
from dbtorch.service.planning.plan import listed

#: Parents that the text lists before it only counts.
_LISTED = 4

#: Kind -> colour of its boxes; dbt's documentation site uses similar ones.
_COLOURS = {
    Kind.SOURCE: "#c6f0c2",
    Kind.SEED: "#c6f0c2",
    Kind.MODEL: "#bfe3f5",
    Kind.SNAPSHOT: "#d5ccf5",
    Kind.TEST: "#eeeeee",
    Kind.UNIT_TEST: "#eeeeee",
    Kind.CHECK: "#eeeeee",
    Kind.FUNCTION: "#f5efbf",
    Kind.SAVED_QUERY: "#f5efbf",
    Kind.EXPOSURE: "#f7cfb0",
    Kind.STEP: "#ffe08a",
}

#: Characters that end or change a Mermaid label, and what Mermaid shows for them.
#: https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
_ENTITIES = str.maketrans(
    {
        "#": "#35;",
        '"': "#quot;",
        "&": "#amp;",
        "<": "#lt;",
        ">": "#gt;",
        "`": "#96;",
        "\\": "#92;",
        "\r": " ",
        "\n": " ",
    }
)


def graph_text(graph: Graph | Plan, format: str = "text") -> str:
    """The graph in a format: ``text``, ``mermaid``, ``dot`` or ``json``."""
    graph = graph.graph if isinstance(graph, Plan) else graph
    return _FORMATS[format](_shown(graph))


def _shown(graph: Graph) -> Graph:
    """The graph of what people know: what a hidden node connected stays unconnected."""
    nodes = [node for node in graph.nodes.values() if is_shown(node.kind)]
    kept = {node.id for node in nodes}
    return Graph(nodes, [(a, b) for a, b in graph.edges() if a in kept and b in kept])


def _text(graph: Graph) -> str:
    """Levels from left to right: a node is one level behind the last of its parents."""
    if not graph.nodes:
        return "The selection matches no nodes."
    levels: dict[str, int] = {}
    for id in graph.order():
        levels[id] = 1 + max((levels[parent] for parent in graph.parents(id)), default=0)
    ordered = sorted(graph.order(), key=levels.__getitem__)
    called = names_among(graph.nodes.values())
    rows = [_row(graph, graph.nodes[id], levels[id], called) for id in ordered]
    kinds = Counter(node.kind.value.replace("_", " ") for node in graph.nodes.values())
    counts = ", ".join(many(count, kind) for kind, count in kinds.most_common())
    edges = sum(1 for _ in graph.edges())
    lines = table(("LEVEL", "KIND", "NODE", "AFTER"), rows, right=frozenset({0}))
    return "\n".join([*lines, "", f"{counts}; {many(edges, 'edge')}"])


def _row(graph: Graph, node: Node, level: int, called: Mapping[str, str]) -> list[str]:
    parents = [graph.nodes[id] for id in graph.parents(node.id)]
    name = short_name(node)
    return [str(level), node.kind.value, name, listed(parents, called, _LISTED)]


def _mermaid(graph: Graph) -> str:
    number = {id: f"n{place}" for place, id in enumerate(graph.order())}
    called = names_among(graph.nodes.values())
    lines = ["flowchart LR"]
    for id in graph.order():
        node = graph.nodes[id]
        name = called[id].translate(_ENTITIES)
        lines.append(f'  {number[id]}["{name}"]:::{node.kind}')
    lines += [f"  {number[before]} --> {number[after]}" for before, after in graph.edges()]
    kinds = {node.kind for node in graph.nodes.values()}
    lines += [
        f"  classDef {kind} fill:{colour},stroke:#666,color:#111"
        for kind, colour in _COLOURS.items()
        if kind in kinds
    ]
    return "\n".join(lines)


def _dot(graph: Graph) -> str:
    lines = ["digraph dbtorch {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled"];']
    called = names_among(graph.nodes.values())
    for id in graph.order():
        node = graph.nodes[id]
        label, kind = _quoted(called[id]), _quoted(node.kind.value)
        colour = _COLOURS.get(node.kind, "#ffffff")
        lines.append(
            f'  {_quoted(id)} [label={label}, class={kind}, tooltip={kind}, fillcolor="{colour}"];'
        )
    lines += [f"  {_quoted(before)} -> {_quoted(after)};" for before, after in graph.edges()]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    """A DOT string: a backslash would otherwise take the closing quote with it."""
    flat = text.replace("\r", " ").replace("\n", " ")
    return '"' + flat.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _json(graph: Graph) -> str:
    nodes = [_node_json(graph.nodes[id]) for id in graph.order()]
    edges = [list(edge) for edge in graph.edges()]
    return document(nodes=nodes, edges=edges)


def _node_json(node: Node) -> dict[str, object]:
    return {
        "id": node.id,
        "kind": node.kind.value,
        "name": node.name,
        "package": node.package or None,
        "path": node.path or None,
        "materialized": node.materialized or None,
        "owner": node.owner or None,
        "group": node.group or None,
        "tags": list(node.tags),
        "description": node.description or None,
    }


_FORMATS: dict[str, Callable[[Graph], str]] = {
    "text": _text,
    "mermaid": _mermaid,
    "dot": _dot,
    "json": _json,
}
