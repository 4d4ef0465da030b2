"""What nodes are called where people read about them."""

from __future__ import annotations

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
