"""What a run is about in time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbtorch.adapters.template import run_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """What a run is about in time: its id, its pipeline and the interval it stands for."""

    run_id: str
    pipeline: str
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    planned_at: datetime | None = None  # when a schedule wanted it to start; None by hand
    outputs: dict[str, Any] = field(default_factory=dict)  # of steps, by name

    def template(self) -> dict[str, Any]:
        """``run`` in templates."""
        return run_values(
            id=self.run_id,
            pipeline=self.pipeline,
            logical_date=self.logical_date,
            data_interval_start=self.data_interval_start,
            data_interval_end=self.data_interval_end,
        )
