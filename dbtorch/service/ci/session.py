"""What a pull request's dbt session says and is asked, before its run begins and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dbtorch.adapters.clock import SystemClock
from dbtorch.core.run.simulation import forecast
from dbtorch.ports.engine import Engine, Selected
from dbtorch.service.planning.planned import OpenedPlan

#: The table that says whose a schema is.
MARKER = "dbtorch_ci"


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSession:
    """The session of a run."""

    engine: Engine
    opened: OpenedPlan

    @property
    def selected(self) -> Selected:
        """What dbt answered."""
        return self.opened.selected

    @property
    def schema(self) -> str:
        """The schema of the pull request."""
        return str(self.selected.target["schema"])

    def expected_seconds(self, durations: Mapping[str, float]) -> float:
        """How long the run takes if each node does what it did."""
        return forecast(replace(self.opened.planned.plan, expected=durations)).seconds

    def mark(
        self, schemas: Sequence[tuple[str, str]], pr: str, project: str
    ) -> dict[tuple[str, str], bool]:
        """Make the schemas with a marker in each; answers which have it.

        One that holds what somebody else has made has none. Raises `EngineError`.
        """
        at = SystemClock().now().isoformat(timespec="seconds")
        marker = {"pr": pr, "project": project, "built_at": at}
        return {where: self.engine.mark_schema(*where, MARKER, marker) for where in schemas}
