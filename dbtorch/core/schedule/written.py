"""What the ledger of partitions is told when the node of a run changes."""

from __future__ import annotations

from dbtorch.core.model.events import Changed
from dbtorch.core.model.state import RunState, State
from dbtorch.core.schedule.coverage import Built

_BUILT = (State.SUCCESS, State.WARN, State.REUSED)


def built_by(change: Changed) -> Built | None:
    """What a change says of what is built; None: nothing, as the node was not executed.

    What was built before stays as it is where a node is skipped, or blocked by another one.
    """
    if change.state in _BUILT:
        return Built.DONE
    if change.state is State.FAILED:
        return Built.FAILED
    if change.state is State.RUNNING:
        return Built.RUNNING
    began = change.before.active or change.before is State.UP_FOR_RETRY
    return Built.FAILED if change.state is State.CANCELLED and began else None


def built_by_run(state: RunState) -> Built:
    """What the state of a whole run says of what is built."""
    if state is RunState.RUNNING:
        return Built.RUNNING
    return Built.DONE if state is RunState.SUCCESS else Built.FAILED


def pipeline_id(pipeline: str) -> str:
    """What stands for whole runs of a pipeline among nodes."""
    return f"pipeline.{pipeline}"
