"""What the use cases need from the outside, one Protocol per need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from dbtorch.core.freshness import Thresholds
from dbtorch.core.graph import Node

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.checks import Watch
    from dbtorch.core.events import Attempt, Batch, Changed, Event, Outdated
    from dbtorch.core.history import Action, AttemptRecord, Lease, RunRecord, RunSummary
    from dbtorch.core.incidents import Incident
    from dbtorch.core.measure import Measured, Rows
    from dbtorch.core.outbox import Delivery, Entry, Style
    from dbtorch.core.standing import Standing
    from dbtorch.core.state import RunState

#: Told everything that changed in one turn of the loop, in order.
Listener: TypeAlias = "Callable[[Sequence[Changed]], None]"

#: Where engines and step runners put their events; safe to call from any thread.
Emit: TypeAlias = "Callable[[Event | Outdated], None]"


class Clock(Protocol):
    """The time, so that nothing else asks the operating system for it."""

    def now(self) -> datetime:
        """The current time, aware, in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """An on-run-start or on-run-end hook, as dbt knows it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """What an engine answers when it has opened: the project, and the part a run is about."""

    nodes: tuple[Node, ...]  # every dbt resource of the project, sources and exposures included
    edges: tuple[tuple[str, str], ...]  # dbt's own edges between all of them
    selected: frozenset[str]  # what this invocation executes
    selected_edges: tuple[tuple[str, str], ...]  # its order, tests and unit tests as `dbt build`
    selected_sources: frozenset[str]
    resolved: Mapping[str, frozenset[str]]  # selection text -> what dbt selects for it
    hooks: tuple[Hook, ...]
    threads: int
    fail_fast: bool
    target: Mapping[str, Any]  # name, type, database, schema, path: no secrets
    exclusive_file: str | None  # database file that only one process may have open
    vars: Mapping[str, Any]
    dbt_version: str
    adapter: str  # type and version, "duckdb 1.11.1"
    project: str  # dbt's project name
    project_dir: Path
    target_path: Path
    manifest_hash: str  # of the project's code, the same for two parses of the same code
    manifest_digest: str = ""  # of all the manifest says; empty where nobody asks for it
    unreadable: Mapping[str, str] = field(default_factory=dict)  # selection text -> why
    freshness: Mapping[str, Thresholds] = field(default_factory=dict)  # of sources that have it
    watched: tuple[str, ...] = ()  # files and folders the answer depends on
    env_vars: tuple[str, ...] = ()  # names of environment variables it depends on
    batches: int | None = None  # that may run side by side; None for an engine that takes nodes


class Engine(Protocol):
    """Executes dbt nodes. Reports through the `Emit` it was built with."""

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Parse and select; ``texts`` are selections to resolve besides the run's own.

        Raises `EngineError` with one sentence when dbt cannot. Nothing is executed before `accept`:
        batches that are started until then wait.
        """

    def accept(self) -> None:
        """Go on with what `open` answered."""

    def refuse(self, why: str) -> None:
        """Do not go on: what waits, and what is still started, fails for this reason."""

    def watch(self, checks: Mapping[str, Watch]) -> None:
        """What nodes look at that check a relation, by their ids; told before any is started."""

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once. Opening and closing the session are batches too."""

    def foresee(self) -> None:
        """Be ready for another batch, some time after what is under way; what fails runs again."""

    def forget(self) -> None:
        """Hand back, as lost, what waits for `accept`: another plan is to go on."""

    def skip(self, changes: Sequence[Changed]) -> None:
        """Note nodes that do not run, or are called off as they do, for dbt's artifacts."""

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt in the warehouse; it still reports how it ended."""

    def release(self) -> None:
        """Let go of the warehouse's file; returns when another process may open it."""

    def abandon(self, why: str) -> None:
        """End at once: what is under way, and what is still started, fails for this reason."""

    def leave_out_end_hooks(self) -> None:
        """Close the session without on-run-end hooks, as dbt does when it is interrupted."""

    def close(self) -> None:
        """Leave, whatever the state; returns when the processes are gone."""


class EngineError(Exception):
    """dbt could not parse, select or connect; the text is one clear sentence (or dbt's own)."""


class Steps(Protocol):
    """Executes steps. Reports through the `Emit` it was built with."""

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once."""

    def cancel(self, attempt: Attempt) -> None:
        """End an attempt's process group; it still reports how it ended."""

    def kill(self) -> None:
        """End every process at once and wait for nothing; without a lock, for signal handlers."""

    def close(self) -> None:
        """End everything that still runs; returns when it has."""


class StoreError(Exception):
    """The store cannot be opened, read or written; the text says which, why and what to do."""


class LeaseHeld(Exception):
    """Another run holds the lease."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        super().__init__(lease.name)


class LeaseLost(StoreError):
    """What was to be written is another supervisor's to write by now."""

    def __init__(self, lease: Lease, holder: Lease | None) -> None:
        by = "another process"
        if holder is not None and holder.run_id == lease.run_id:
            by = f"pid {holder.pid} on {holder.host}"
        super().__init__(
            f"run {lease.run_id} was taken over by {by} while this process stood still; "
            f"nothing more is written from here, `dbtorch show {lease.run_id}` says how it goes on"
        )


class Outbox(Protocol):
    """Messages to people, and failures that last. Every write is committed when the call returns.

    A message is named by notifier, address and key, and is kept once however often it is written.
    """

    def alert(
        self, entries: Sequence[Entry], incidents: Sequence[Incident] = (), *, at: datetime
    ) -> None:
        """Keep messages to be sent, and what is known of failures, in one commit.

        A note that is there already stays as it is; a card with another body is a new version.
        """

    def incidents(self, project: str, target: str, pipeline: str) -> list[Incident]:
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


class Notifier(Protocol):
    """Tells people. One message at a time, from one thread."""

    @property
    def style(self) -> Style:
        """How it tells about a run."""

    def deliver(self, delivery: Delivery, thread: Delivery | None) -> Mapping[str, Any]:
        """Send a message, or the new version of one; answers a receipt, which is JSON.

        ``thread`` is the message that begins the thread it belongs to. With ``delivery.unsure``
        an earlier try may have arrived. Raises `NotDelivered`.
        """


class NotDelivered(Exception):
    """A message was not sent; the text says why in one sentence."""

    def __init__(
        self,
        text: str,
        *,
        retry_after: float | None = None,
        hopeless: bool = False,
        unsure: bool = False,
    ) -> None:
        """``retry_after`` are seconds the other side asked for.

        ``hopeless`` says that a person has to do something first; ``unsure`` that the message may
        have arrived all the same, because there was no answer.
        """
        self.retry_after = retry_after
        self.hopeless = hopeless
        self.unsure = unsure
        super().__init__(text)


class Store(Outbox, Protocol):
    """Run history and state. Every write is committed when the call returns.

    With a ``lease`` a write is refused with `LeaseLost` when somebody else has taken that over.
    """

    def begin(
        self,
        run: RunRecord,
        nodes: Sequence[Node],
        changes: Sequence[Changed] = (),
        *,
        lease: Lease | None = None,
    ) -> None:
        """Write a run and its nodes, all pending.

        A run that goes on is written again: known nodes and attempts stay as they are, but for
        ``changes``, written in the same commit.
        """

    def record(
        self, run_id: str, changes: Sequence[Changed], *, lease: Lease | None = None
    ) -> None:
        """Write changes, and what they say about nodes and attempts, in one commit."""

    def end(
        self, run_id: str, state: RunState, at: datetime, *, lease: Lease | None = None
    ) -> None:
        """Write how a run ended."""

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

    def runs(
        self, *, limit: int = 20, pipeline: str | None = None, state: RunState | None = None
    ) -> list[RunSummary]:
        """Newest first."""

    def find(self, prefix: str) -> list[str]:
        """Ids of runs that start with this, newest first; "latest" is the newest run."""

    def attempts(self, run_id: str, node_id: str) -> list[AttemptRecord]:
        """Attempts of a node, in order."""

    def durations(
        self, project: str, target: str, *, last: int = 10
    ) -> dict[str, tuple[float, ...]]:
        """Seconds of each node's last successes on this target, the newest first."""

    def standing(self, project: str, target: str = "") -> Standing:
        """How a project stands on a target; on that of its newest run when none is named."""

    def measured(
        self,
        project: str,
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

    def acquire(self, lease: Lease, *, now: datetime) -> None:
        """Take the lease or raise `LeaseHeld`. One that has expired may be taken over."""

    def renew(self, lease: Lease, *, now: datetime) -> bool:
        """Prolong by the lease's lifetime from now; False when somebody else has it by now."""

    def release(self, lease: Lease) -> None:
        """Give the lease back; silent when it is somebody else's."""

    def holder(self, name: str) -> Lease | None:
        """Who has a lease, expired or not."""

    def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step is told about the run it is part of."""

    run_id: str
    project: str
    pipeline: str
    logical_date: datetime
    data_interval_start: datetime
    data_interval_end: datetime
    project_dir: Path
    target: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
