"""What executes dbt's nodes: an engine, and the parts of its contract.

`Engine` is all of it, and all that anybody calls on an engine. CONTRIBUTING.md has how one is
written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Node
from dbtorch.core.model.state import FailureClass

if TYPE_CHECKING:  # so that a command that only reads imports no more of the core than it uses
    from dbtorch.core.checks.idempotency import Content
    from dbtorch.core.checks.relation_checks import RelationChecks
    from dbtorch.core.model.events import Attempt, Batch, Changed, Outcome, Window


#: Database, schema and name of a relation.
Place = tuple[str, str, str]


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
    manifest_path: Path | None = None  # what was read; None: manifest.json in `target_path`
    manifest_digest: str = ""  # of all the manifest says; empty where nobody asks for it
    unreadable: Mapping[str, str] = field(default_factory=dict)  # selection text -> why
    freshness: Mapping[str, Thresholds] = field(default_factory=dict)  # of sources that have it
    watched: tuple[str, ...] = ()  # files and folders the answer depends on
    env_vars: tuple[str, ...] = ()  # names of environment variables it depends on
    warnings: tuple[DbtWarning, ...] = ()  # of dbt, where a later answer may be taken from this one
    batches: int | None = None  # that may run side by side; None for an engine that takes nodes

    @property
    def manifest(self) -> Path:
        """The manifest that says what this answer does, and more."""
        return self.manifest_path or self.target_path / "manifest.json"


class Executor(Protocol):
    """Opens a project and executes its nodes. Reports through the `Emit` it was built with.

    Everything but `open`, `release` and `close` returns at once; all of it may be called from any
    thread. Each attempt that is started is reported as `Finished` once, whatever happens (but a
    `kill`), or is part of a batch that is reported as `Ended`; before that, once, as `Started`.
    """

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Parse and select; ``texts`` are selections to resolve besides the run's own.

        Raises `EngineError` with one sentence when dbt cannot. Nothing is executed before `accept`:
        batches that are started until then wait.
        """

    def accept(self) -> None:
        """Go on with what `open` answered."""

    def refuse(self, why: str, failure_class: FailureClass = FailureClass.CODE) -> None:
        """Do not go on: what waits, and what is still started, fails for this reason."""

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
        unsettled: Collection[str] = (),
    ) -> None:
        """Take over what earlier executions of the same run knew, before anything is started.

        ``results`` are dbt's own of nodes (`Outcome.details`), by their ids, for artifacts of the
        whole run; ``microbatches`` those planned of each microbatch model, and whether each is
        built. Of models that are ``unsettled`` others may be, by an attempt that did not end well.
        """

    def watch(self, checks: Mapping[str, RelationChecks]) -> None:
        """What nodes look at that check a relation, by their ids; told before any is started."""

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once. Opening and closing the session are batches too.

        After `close` it fails, and nothing is executed.
        """

    def skip(self, changes: Sequence[Changed]) -> None:
        """Note nodes that do not run, or are called off as they do, for dbt's artifacts."""

    def cancel(self, attempt: Attempt) -> None:
        """Cancel an attempt in the warehouse; it still reports how it ended."""

    def release(self) -> None:
        """Let go of the warehouse's file; returns when another process may open it."""

    def leave_out_start_hooks(self) -> None:
        """Open the session without on-run-start hooks; told before `open`."""

    def leave_out_end_hooks(self) -> None:
        """Close the session without on-run-end hooks, as dbt does when it is interrupted."""

    def abandon(self, why: str) -> None:
        """End at once: what is under way, and what is still started, fails for this reason."""

    def kill(self) -> None:
        """End every process at once and tell nobody; takes no lock, for signal handlers."""

    def close(self) -> None:
        """Leave, whatever the state; returns when the processes are gone."""

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for the user that came up until now."""

    @property
    def dbt_warnings(self) -> DbtWarningFeed:
        """What dbt warns of, as it comes."""


class DbtWarningFeed(Protocol):
    """Warnings of dbt, from whatever thread, each thing once."""

    def listen(self, listener: Callable[[DbtWarning], None]) -> None:
        """Be told of each warning once, of those that are known at once."""

    def all(self) -> tuple[DbtWarning, ...]:
        """Each once, in the order they came, with the times that one dbt gave it."""


class SpeculativeStart(Protocol):
    """What may start before the plan is known, or before anybody needs it. None of it must.

    An engine that gains nothing by it does nothing and answers False.
    """

    def launch(self) -> None:
        """Start what reads the project, while the caller gets everything else ready.

        Raises `EngineError`.
        """

    @property
    def plans_from_cache(self) -> bool:
        """Whether a cached answer of `open` saves time even where no step could start earlier."""

    def start_speculatively(self, cached: Selected | None) -> bool:
        """Whether nodes may start on what `open` answered last time, without being asked again.

        Who answers True compares that with what is there, and reports `Outdated` when it is no
        longer so. ``cached`` is None where no answer may be used. Raises `EngineError`.
        """

    def prewarm(self) -> None:
        """Be ready for another batch, some time after what is under way; what fails runs again."""

    def invalidate(self) -> None:
        """Hand back, as lost, what waits for `accept`: another plan is to go on."""


class SourceChecks(Protocol):
    """Checks how old the data of sources is."""

    def check_sources(self, sources: Sequence[str]) -> list[Outcome]:
        """Check sources by their unique ids, after `open` and before anything has been started.

        Answers an outcome for each, in order, and writes sources.json. In ``details["source"]`` is
        dbt's entry of that: ``status`` (pass, warn, error, runtime error), ``max_loaded_at``,
        ``max_loaded_at_time_ago_in_s``. A source that cannot be checked is a failed outcome.
        Raises `EngineError` when nothing can be checked.
        """


class Warehouse(Protocol):
    """Answers what there is in the warehouse after `open`; after the session is closed where asked.

    Raises `EngineError`: what the warehouse says, or that this engine cannot be asked.
    """

    def gone(self, nodes: Sequence[str]) -> frozenset[str]:
        """The nodes among these, which have been built, whose relations are not there any more.

        By their unique ids; after `open` and before anything has been started.
        """

    def tables(self) -> Sequence[str]:
        """All tables of the database, each as SQL names it."""

    def content(self, relation: str, *, ignore: Sequence[str] = ()) -> Content:
        """What a relation holds, but for columns whose names match a pattern of ``ignore``."""

    def drop_schemas(self, prefix: str, databases: Sequence[str]) -> None:
        """Drop the schemas of these databases whose names begin so, whatever their case."""

    def rows(self, sql: str, most: int) -> Sequence[Sequence[Any]]:
        """The first rows of a query; what is no number, truth value or null is text."""

    def columns(self, database: str, schema: str, name: str) -> Sequence[tuple[str, str, str]]:
        """Columns of a relation as it is now: name, name in SQL, type. None: it is not there."""

    def mark_schema(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """Make a schema, if it is not there, with a ``table`` of one row that says whose it is.

        The marker is renewed where it has the same ``pr``. Answers False for a schema that holds
        something and has no such table: it is somebody else's.
        """

    def clone(self, relation: Place, of: Place) -> bool:
        """Make a table a clone of another, in the place of what is there; answers whether.

        It does where the warehouse can without copying rows, and the other one is a table.
        """

    def make(self, relation: Place, sql: str, *, view: bool) -> None:
        """Make a view or table of a query, in the place of what is there."""

    def marked_schemas(
        self, databases: Sequence[str], pattern: str, table: str
    ) -> Sequence[tuple[str, str, Mapping[str, str] | None]]:
        """Database, schema and marker of the schemas whose names match, whatever their case."""

    def drop_marked(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """Drop a schema, if its marker still says this; answers whether."""


class Engine(Executor, SpeculativeStart, SourceChecks, Warehouse, Protocol):
    """All that is called on an engine."""
