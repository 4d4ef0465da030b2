"""What nodes are called where people read about them."""

from __future__ import annotations

from collections.abc import Iterable

from dbtorch.core.graph import Kind, Node


def short_name(id: str, name: str) -> str:
    """The name of a node, with its version: dbt gives all versions of a model the same name."""
    _, found, tail = id.rpartition(f".{name}.")
    is_version = bool(found) and tail.startswith("v") and id.startswith("model.")
    return f"{name}.{tail}" if is_version else name


def name_among(node: Node) -> str:
    """The name of a node in a list without kinds; a check has that of what it looks at."""
    name = short_name(node.id, node.name)
    return f"check {name}" if node.kind is Kind.CHECK else name


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """``; did you mean "…"?`` with the nearest name; empty when none is near."""
    from difflib import get_close_matches  # only a mistake asks for it

    near = get_close_matches(text, list(names), n=1)
    return f'; did you mean "{near[0]}"?' if near else ""
