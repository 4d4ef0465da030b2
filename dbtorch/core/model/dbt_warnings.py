"""What dbt warns of besides the results of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbtorch.core.failures.message import tidy

#: What dbt puts in front of some of its warnings.
_TAG = "[WARNING]: "


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtWarning:
    """One warning of dbt."""

    name: str  # dbt's event: NoNodesForSelectionCriteria, UnusedResourceConfigPath, …
    text: str
    node_id: str = ""  # what dbt was doing when it gave it; empty for the project
    count: int = field(default=1, compare=False)

    @classmethod
    def of(cls, name: str, said: str, node_id: str = "") -> DbtWarning:
        """A warning as a person reads it."""
        text = tidy(tidy(said)[0].removeprefix(_TAG))[0]
        return cls(name=name, text=text, node_id=node_id)

    def __str__(self) -> str:
        about = f" ({self.node_id})" if self.node_id else ""
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.text}{about}{times}"


def warnings_from_json(kept: Iterable[Mapping[str, Any]]) -> tuple[DbtWarning, ...]:
    """The warnings that were kept."""
    return tuple(
        DbtWarning(
            name=str(one["name"]),
            text=str(one["message"]),
            node_id=str(one["node_id"] or ""),
            count=int(one["count"]),
        )
        for one in kept
    )


def warnings_json(warnings: Iterable[DbtWarning]) -> list[dict[str, object]]:
    """Warnings in every JSON that has them."""
    return [
        {"name": one.name, "message": one.text, "node_id": one.node_id or None, "count": one.count}
        for one in warnings
    ]
