"""Who looks at the warehouse before a run and after it, in the dbt session of the run itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dbtorch.core.history.records import RunRecord
    from dbtorch.ports.engine import Engine
    from dbtorch.service.planning.planned import OpenedPlan


class Companion(Protocol):
    """Goes with one run from when its plan is made until its session is closed."""

    def before(self, opened: OpenedPlan, engine: Engine) -> bool:
        """Look, and prepare, before anything of the run begins; answers whether it is to begin.

        What it raises keeps the run from beginning.
        """

    def after(self, run: RunRecord, engine: Engine) -> None:
        """Look after the run has ended; the engine answers questions, if it still can."""
