"""Which relations that nodes have built are not in the warehouse any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import LogMessage
from dbtorch.adapters.dbt.process.operations.operation import (
    MAX_BYTES,
    Mark,
    Operation,
    arguments,
)
from dbtorch.core.errors import EngineError

#: Relations that one dbt is asked for at most.
_MOST = 3000


def gone_relations(
    operation: Operation, nodes: Mapping[str, Mapping[str, Any]], ids: Sequence[str]
) -> frozenset[str]:
    """The nodes among these, by their ids, whose relations are not there.

    One dbt for all of them, or as many as it takes for its command line to hold their names.
    ``nodes`` are the manifest's. Raises `EngineError`.
    """
    asked = [_named(nodes[id]) for id in ids]
    if len(ids) > 1 and (len(ids) > _MOST or len(arguments(asked)) > MAX_BYTES):
        half = len(ids) // 2
        first = gone_relations(operation, nodes, ids[:half])
        return first | gone_relations(operation, nodes, ids[half:])
    found: set[str] = set()
    looked = False

    def hear(said: Mark | LogMessage) -> None:
        nonlocal looked
        if isinstance(said, Mark) and said.what == "gone":
            found.add(ids[int(said.about)])
        looked = looked or (isinstance(said, Mark) and said.what == "done")

    ended = operation.run("dbtorch_gone", asked, hear)
    if ended.code != 0 or not looked:
        raise EngineError(ended.errors or f"dbt ended with exit code {ended.code}")
    return frozenset(found)


def _named(node: Mapping[str, Any]) -> list[Any]:
    return [node.get("database"), node.get("schema"), node.get("alias") or node.get("name")]
