"""What keeps which intervals of models, steps and pipelines are built."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dbtorch.core.schedule.coverage import Entry


class PartitionLedger(Protocol):
    """Written by `Store.begin`, `record`, `note` and `end`, in the commit of what they are told.

    Of a run that stands for a partition each model, snapshot and step that it executes is kept, and
    of a microbatch model every batch, whatever run builds it. It stays when runs are removed.
    """

    def entries(
        self, place: str, nodes: Sequence[str], *, since: datetime, until: datetime
    ) -> list[Entry]:
        """What was written last of intervals of nodes that touch a span of time.

        Whole runs of a pipeline are `dbtorch.core.schedule.written.pipeline_id`.
        """
