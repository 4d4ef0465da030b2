"""What nodes are called where people read about them."""

from __future__ import annotations


def short_name(id: str, name: str) -> str:
    """The name of a node, with its version: dbt gives all versions of a model the same name."""
    _, found, tail = id.rpartition(f".{name}.")
    is_version = bool(found) and tail.startswith("v") and id.startswith("model.")
    return f"{name}.{tail}" if is_version else name
