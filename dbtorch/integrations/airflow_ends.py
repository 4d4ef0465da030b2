"""How what dbtorch knows of nodes ends their task in Airflow. Knows no Airflow.

Nothing is green there that dbtorch has not seen succeed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dbtorch.core.failures.message import gist
from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.naming import label
from dbtorch.core.model.state import RunState, State
from dbtorch.integrations.airflow_tasks import RUN

_NAMED = 5


class End(StrEnum):
    """States of a task in Airflow that it can give itself."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"


class Next(StrEnum):
    """What a task does that cannot end yet."""

    WAIT = "wait"
    AGAIN = "again"  # it was cleared: its nodes are to be executed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a task ends, and what it says."""

    end: End
    says: str
    sure: bool = True  # False: look a second time, somebody may just have taken it over


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a run at a moment."""

    run_id: str
    record: RunRecord | None = None  # None: it has not begun
    nodes: Mapping[str, NodeRecord] = field(default_factory=dict)  # by id
    driven: bool = False  # somebody executes it
    over: bool = False  # the task that runs it has ended, and no other try of it will come

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.over and not self.driven

    @property
    def settled(self) -> bool:
        """Whether what has ended badly stays so: nobody is about to go on with the run."""
        running = self.record is not None and self.record.state is RunState.RUNNING
        return self.ended or (self.driven and running)


#: The worse end of several nodes is that of their task; what is not here is nobody's end.
_ENDS = {
    State.SUCCESS: End.SUCCESS,
    State.WARN: End.SUCCESS,
    State.REUSED: End.SUCCESS,
    State.SKIPPED: End.SKIPPED,
    State.REMOVED: End.SKIPPED,
    State.UPSTREAM_FAILED: End.FAILED,
    State.CANCELLED: End.FAILED,
    State.FAILED: End.FAILED,
}
_WORSE = (End.SUCCESS, End.SKIPPED, End.FAILED)


def run_id_of(dag_id: str, run_id: str) -> str:
    """What dbtorch calls the run of a DAG run."""
    digest = hashlib.sha256(f"{dag_id}\0{run_id}".encode()).hexdigest()[:8]
    said = re.sub(r"[^A-Za-z0-9]+", "-", f"{dag_id}-{run_id}").strip("-")[:80]
    return f"airflow-{said}-{digest}"


def decided(standing: Standing, ids: Sequence[str], tries: int) -> Ended | Next:
    """How the task of some nodes goes on; ``tries`` is how often Airflow has started it.

    A task that was cleared wants its nodes executed as often as it was started, by whomever.
    """
    if standing.record is None:
        if standing.over:
            says = f"run {standing.run_id} did not begin; the log of {RUN} says why"
            return Ended(end=End.FAILED, says=says)
        return Next.WAIT
    known = [standing.nodes[id] for id in ids if id in standing.nodes]
    late = to_execute(standing, ids, tries)
    done = len(known) == len(ids) and all(node.state.ok for node in known)
    if not late and (done or (standing.settled and all(node.state.final for node in known))):
        return ended(known, ids)
    if not standing.ended:
        return Next.WAIT
    if late:
        return Next.AGAIN
    left = [f"{label(node)} is {node.state}" for node in known if not node.state.final]
    return Ended(end=End.FAILED, says=f"nobody saw how it ended: {_listed(left)}", sure=False)


def ended(known: Sequence[NodeRecord], ids: Sequence[str]) -> Ended:
    """How a task ends whose nodes have."""
    ends = [_ENDS.get(node.state, End.FAILED) for node in known]
    if len(known) < len(ids):
        ends.append(End.SKIPPED)
    if not known:
        return Ended(end=End.SKIPPED, says="no part of this run")
    worst = max(ends, key=_WORSE.index)
    if worst is End.SUCCESS:
        return Ended(end=worst, says=_listed(map(_said, known)))
    return Ended(
        end=worst, says=_listed(_said(node) for node in known if _ENDS.get(node.state) is worst)
    )


def to_execute(standing: Standing, ids: Iterable[str], tries: int) -> list[NodeRecord]:
    """Nodes that were executed less often than their task was started."""
    if tries <= 1 or standing.record is None:
        return []
    times: dict[str, int] = {}
    for move in standing.record.transitions:
        if move.before.final and not move.state.final:
            times[move.node_id] = times.get(move.node_id, 1) + 1
    nodes = (standing.nodes[id] for id in ids if id in standing.nodes)
    return [node for node in nodes if times.get(node.id, 1) < tries]


def built(record: RunRecord, *, last_execution: bool = False) -> list[str]:
    """Ids of the nodes that a run has built, or its last execution."""
    since = record.resumed_at if last_execution else None
    return [
        node.id
        for node in record.nodes
        if node.state in (State.SUCCESS, State.WARN)
        and node.attempts
        and (since is None or (node.attempts[-1].finished_at or record.started_at) >= since)
    ]


def why_failed(record: RunRecord | None) -> str:
    """What failed in a run, each with its class and what it said; empty for nothing."""
    nodes = record.nodes if record is not None else ()
    return _listed(_said(node) for node in nodes if node.state is State.FAILED)


def _said(node: NodeRecord) -> str:
    last = node.attempts[-1] if node.attempts else None
    about = f"{label(node)}: {node.state}"
    if node.state is State.FAILED and last is not None and last.failure_class is not None:
        about += f" ({last.failure_class})"
    if len(node.attempts) > 1:
        about += f" after {len(node.attempts)} attempts"
    why = gist(str(node.reason) or (last.message if last is not None else ""))
    return f"{about}: {why}" if why else about


def _listed(texts: Iterable[str]) -> str:
    said = list(texts)
    more = [f"and {len(said) - _NAMED} more"] if len(said) > _NAMED else []
    return "; ".join([*said[:_NAMED], *more])
