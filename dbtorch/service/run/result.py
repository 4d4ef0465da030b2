"""A run as a value: how it ended, or how it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import Rows
from dbtorch.core.model.state import RunState, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run at a moment."""

    id: str
    state: str  # a `RunState`, or ``interrupted`` when nobody drives it any more
    at: datetime  # when it was read
    #: None where the selection was empty: such a run is not in the history.
    record: RunRecord | None = field(default=None, repr=False)
    #: What each node wrote, and what it usually does, by its id.
    rows: Mapping[str, Rows] = field(default_factory=dict, repr=False)

    @property
    def recorded(self) -> bool:
        """Whether the history has it; not, where the selection was empty and nothing was done."""
        return self.record is not None

    @property
    def ok(self) -> bool:
        """Whether all of it was done."""
        return self.state == RunState.SUCCESS

    @property
    def nodes(self) -> tuple[NodeRecord, ...]:
        """Its nodes, without the ends of the dbt session."""
        found = self.record.nodes if self.record is not None else ()
        return tuple(node for node in found if node.kind is not Kind.SESSION)

    @property
    def failed(self) -> tuple[NodeRecord, ...]:
        """What failed; an end of the dbt session may be among it."""
        found = self.record.nodes if self.record is not None else ()
        return tuple(node for node in found if node.state is State.FAILED)

    def to_json(self) -> dict[str, Any]:
        """The shape of `dbtorch show --format json`; empty where nothing was run."""
        if self.record is None:
            return {}
        from dbtorch.service.history.run import RunReport
        from dbtorch.service.history.run_json import run_json

        report = RunReport(record=self.record, state=self.state, rows=self.rows, at=self.at)
        return run_json(report)
