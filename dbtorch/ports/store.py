"""What keeps the run history, and the messages that are to be sent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from dbtorch.ports.backfills import Backfills
from dbtorch.ports.ledger import Ledger
from dbtorch.ports.offers import Offers
from dbtorch.ports.partitions import PartitionLedger

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.alerts.incidents import Incident
    from dbtorch.core.alerts.outbox import Delivery, Entry
    from dbtorch.core.history.health import HealthFacts
    from dbtorch.core.history.records import (
        Action,
        AttemptRecord,
        Lease,
        RunChanges,
        RunRecord,
        RunSummary,
    )
    from dbtorch.core.history.trend import Sample
    from dbtorch.core.model.dbt_warnings import DbtWarning
    from dbtorch.core.model.events import Changed, Progress, Window
    from dbtorch.core.model.graph import Node
    from dbtorch.core.model.identity import Identity
    from dbtorch.core.model.interval import Interval
    from dbtorch.core.model.measure import Measured, Rows
    from dbtorch.core.model.state import RunState


class Outbox(Protocol):
    """Messages to people, and failures that last. Every write is committed when the call returns.

    All of them are one project's; those of others are for others to send.

    A message is named by notifier, address and key, and is kept once however often it is written.
    """

    def alert(
        self, entries: Sequence[Entry], incidents: Sequence[Incident] = (), *, at: datetime
    ) -> None:
        """Keep messages to be sent, and what is known of failures, in one commit.

        A note that is there already stays as it is; a card with another body is a new version.
        """

    def incidents(self, target: str, pipeline: str) -> list[Incident]:
        """Failures of a pipeline that go on."""

    def outbox(self, *, run_id: str | None = None, pending: bool = False) -> list[Delivery]:
        """Messages in the order they were written; with ``pending`` those not sent yet."""

    def message(self, notifier: str, address: str, key: str) -> Delivery | None:
        """One message; None when there is none."""

    def claim(
        self, notifier: str, *, now: datetime, until: datetime, due: datetime, since: datetime
    ) -> Delivery | None:
        """The next message to send, which nobody else will send until then; None for none.

        Only messages whose next try is not after ``due`` and that were written since then. What
        belongs to a thread waits for the message that begins it. One that somebody claimed and
        neither delivered nor gave back in time, or whose process is gone, comes with ``unsure``.
        """

    def hurry(self) -> None:
        """Let everything that waits for its next try be due at once."""

    def delivered(self, delivery: Delivery, receipt: Mapping[str, Any], at: datetime) -> None:
        """Write that this version was sent, and where it is."""

    def not_delivered(
        self, delivery: Delivery, error: str, next_try_at: datetime, *, unsure: bool = False
    ) -> None:
        """Write why it was not sent, and when to try again."""


class Retention(Protocol):
    """What leaves the history with its age."""

    def outlived(self, before: datetime) -> list[str]:
        """Runs of the project that ended before a time, the oldest first.

        Without those that a process has in hand and those that later runs build upon
        (`dbtorch.core.history.retention`).
        """

    def prune(self, before: datetime, *, most: int) -> list[str]:
        """Remove them with everything that belongs to them, at most so many; answers which.

        Ticks that ended before, and failures that did, go as well.
        """


class Store(Outbox, Ledger, PartitionLedger, Backfills, Retention, Offers, Protocol):
    """Run history and state. Every write is committed when the call returns.

    It is opened for one project (`Identity`): of others that share the history nothing is found
    and nothing changed. A target is named, and means where it builds here.

    With a ``lease`` a write is refused with `LeaseLost` when somebody else has taken that over.
    """

    @property
    def identity(self) -> Identity:
        """Which project it is of."""

    def apart(self, *, patience: float = ...) -> Self:
        """The same for what must not wait for others that use it; closed with this one.

        ``patience`` is for how many seconds what is away is tried again.
        """

    def begin(
        self,
        run: RunRecord,
        nodes: Sequence[Node],
        changes: Sequence[Changed] = (),
        *,
        anew: Collection[str] = (),
        lease: Lease | None = None,
        tick: str = "",
    ) -> None:
        """Write a run and its nodes, all pending.

        A run that goes on is written again: known nodes and attempts stay as they are, but for
        ``changes``, written in the same commit; no batch of the nodes ``anew`` is built any more.
        ``tick`` is the token of the tick that it starts in the same commit; without it, nothing is
        written and `TickLost` raised.
        """

    def record(
        self, run_id: str, changes: Sequence[Changed], *, lease: Lease | None = None
    ) -> None:
        """Write changes, and what they say about nodes and attempts, in one commit."""

    def note(
        self, run_id: str, progress: Sequence[Progress], *, lease: Lease | None = None
    ) -> None:
        """Write what attempts are about to build, and have built, in one commit."""

    def microbatches(self, run_id: str) -> dict[str, dict[Window, bool]]:
        """The batches that a run has planned of each microbatch model, and which are built."""

    def end(
        self,
        run_id: str,
        state: RunState,
        at: datetime,
        *,
        lease: Lease | None = None,
        dbt_warnings: Sequence[DbtWarning] | None = None,
    ) -> None:
        """Write how a run ended, and what dbt warned of; None leaves that as it is."""

    def act(self, run_id: str, action: Action) -> int:
        """Append what somebody asks of a run or did to it; answers the ordinal it was given.

        Raises `StoreError` for an unknown run.
        """

    def handled(self, run_id: str, ordinal: int, at: datetime) -> None:
        """Write when an action took effect; the first time counts."""

    def actions(self, run_id: str, *, after: int = 0) -> list[Action]:
        """Actions of a run with an ordinal greater than ``after``, in order."""

    def run(self, run_id: str, *, transitions: bool = True) -> RunRecord | None:
        """One run with all of its nodes and attempts; None when there is none.

        Without its ``transitions``, of which there are most, it is there sooner.
        """

    def run_changes(self, run_id: str, *, after: int) -> RunChanges | None:
        """What has changed after the transition of that ordinal; None when there is no such run."""

    def runs(
        self,
        *,
        limit: int = 20,
        pipeline: str | None = None,
        state: RunState | None = None,
        counts: bool = True,
    ) -> list[RunSummary]:
        """Newest first; without those on a target of this name that is another one here.

        Counting nodes is most of the work: without ``counts`` there are none.
        """

    def find(self, prefix: str) -> list[str]:
        """Ids of runs that start with this, newest first; "latest" is the first of `runs`."""

    def adopt(self, target: str) -> None:
        """Take over what was written of this project and target before there were ids."""

    def attempts(self, run_id: str, node_id: str) -> list[AttemptRecord]:
        """Attempts of a node, in order."""

    def last_success_end(
        self, target: str, pipeline: str, *, before: datetime | None = None
    ) -> datetime | None:
        """Where the last interval ends of whole runs of a pipeline that succeeded on this target.

        With ``before`` those that end there or later do not count.
        """

    def successful_intervals(self, target: str, pipeline: str) -> list[Interval]:
        """What whole runs stood for that succeeded, in the order in which they began."""

    def durations(self, target: str, *, last: int = 10) -> dict[str, tuple[float, ...]]:
        """Seconds of each node's last successes on this target, the newest first."""

    def samples(self, target: str, *, runs: int, node_id: str = "") -> list[Sample]:
        """What the newest ``runs`` on this target say of one node, or of all; the oldest first."""

    def standing(self, target: str = "") -> HealthFacts:
        """How the project stands on a target; on that of its newest run when none is named."""

    def measured(
        self,
        target: str,
        node_id: str,
        measure: str,
        *,
        last: int,
        but: str = "",
        settled: str = "",
    ) -> list[Measured]:
        """What the last runs on this target measured of a relation, the newest first.

        The run ``but`` is left out, and so are runs in which the node ``settled`` failed.
        """

    def rows(self, run_id: str, node_id: str = "") -> dict[str, Rows]:
        """Rows that a run wrote to each relation, or to one, and what was usual until then."""

    def acquire(self, lease: Lease, *, formerly: str = "") -> tuple[Lease, Lease | None]:
        """Take the lease or raise `LeaseHeld`; one that is over may be taken over.

        Answers it with the times of the database's clock, which alone says when it is over, and
        whose it was before. ``formerly`` is how a dbtorch of before calls it, which may go on.
        """

    def renew(self, lease: Lease) -> bool:
        """Prolong by the lease's lifetime from now; False when somebody else has it by now."""

    def release(self, lease: Lease) -> None:
        """Give the lease back; silent when it is somebody else's."""

    def holder(self, name: str) -> Lease | None:
        """Who has a lease, over or not."""

    def driver(self, run_id: str) -> Lease | None:
        """Who drives a run at this moment: its lease is not over, and nobody knows its end."""

    def close(self) -> None:
        """Close connections."""
