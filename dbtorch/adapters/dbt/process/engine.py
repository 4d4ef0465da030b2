"""The process engine: any dbt executable, which gets one closed part of the graph after another."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dbtorch.adapters.dbt.answers import lost
from dbtorch.adapters.dbt.process.ahead import Ahead
from dbtorch.adapters.dbt.process.artifacts import Artifacts, choose
from dbtorch.adapters.dbt.process.aside import Aside
from dbtorch.adapters.dbt.process.build import Build, Surroundings
from dbtorch.adapters.dbt.process.ends import Ends
from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.adapters.dbt.process.executable import Executable
from dbtorch.adapters.dbt.process.freshness import FreshnessCheck
from dbtorch.adapters.dbt.process.places import Place, Places
from dbtorch.adapters.dbt.process.reading import Reading
from dbtorch.adapters.dbt.process.sources import Sources
from dbtorch.adapters.dbt.process.words import Words
from dbtorch.adapters.dbt.sql_step import SqlStep
from dbtorch.adapters.steps.guard import Guard
from dbtorch.core.config import GRACE
from dbtorch.core.events import (
    Attempt,
    Batch,
    Changed,
    Ended,
    Event,
    Finished,
    Outcome,
    Outdated,
    Started,
)
from dbtorch.core.evidence import Rule
from dbtorch.core.graph import Graph, Kind
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.core.state import FailureClass
from dbtorch.ports import Emit, EngineError, Selected

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.apart import HooksApart
    from dbtorch.adapters.dbt.process.early import Early
    from dbtorch.adapters.dbt.process.looks import Looks
    from dbtorch.adapters.dbt.process.sql import StepRun
    from dbtorch.core.checks import Watch

#: What has a batch in its hands.
Work: TypeAlias = "Build | Sources | StepRun | Looks"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRequest:
    """How to call dbt."""

    entry: Entry
    args: tuple[str, ...]  # options of `dbt build`
    project_dir: Path
    cwd: Path
    environ: Mapping[str, str]
    log_path: Callable[[Attempt], Path]
    console: Path  # what dbt says of no node
    scratch: Path  # folder for files of this run
    batches: int = 1  # that may be at work at once, where the warehouse allows it
    grace: float = GRACE  # seconds from interrupting dbt to killing it
    failure_classes: tuple[Rule, ...] = ()  # the user's, before the built-in table
    early: Early | None = None  # what may have been started before everything else
    sql: Mapping[str, SqlStep] = field(default_factory=dict)  # by node id
    run: Mapping[str, Any] = field(default_factory=dict)  # `run` in a sql step's templates


class ProcessEngine:
    """Implements `Engine` with a dbt process for each batch."""

    def __init__(self, request: ProcessRequest, emit: Emit) -> None:
        self._request = request
        self._emit = emit
        self._words = Words.of(request.args)
        self._folder = (request.scratch / "dbt").absolute()
        # a dbt that is interrupted cancels its queries; terminated, it leaves them to the warehouse
        early, grace = request.early, request.grace
        known = None if early is None else early.guard(grace=grace)
        self._guard = known or Guard(grace=grace, ask=signal.SIGINT)
        self._executable = Executable(
            request.entry, request.cwd, request.environ, self._guard, early=early
        )
        self._lock = threading.RLock()
        self._selected: Selected | None = None
        self._graph = Graph([], [])
        self._accepted = False
        self._backlog: list[Batch] = []
        self._works: dict[int, Work] = {}  # by batch
        self._threads: list[threading.Thread] = []
        self._artifacts = Artifacts()
        self._ends = Ends(self._artifacts, self._executable, request.failure_classes, emit)
        self._broken: tuple[str, FailureClass] | None = None
        self._closed = False
        self._build_words = self._words  # of everything that executes nodes
        self._own_place = Place(request.project_dir / "target")  # where that writes its artifacts
        self._places = Places(self._own_place, self._folder / "beside")
        self._starting = threading.Lock()  # of one dbt at a time
        self._reading = Reading(
            self._executable,
            self._words,
            self._folder,
            project_dir=request.project_dir,
            cwd=request.cwd,
            environ=request.environ,
            batches=request.batches,
        )
        self._ahead = Ahead(self._executable, self._words, self._folder / "held", grace=grace)
        self._to_come: set[str] = set()  # nodes that no build has been given
        self._aside = Aside(
            executable=self._executable,
            words=self._words,
            folder=(request.scratch / "dbt").absolute(),
            sql=request.sql,
            run=request.run,
            emit=emit,
            log_path=request.log_path,
            rules=request.failure_classes,
            grace=request.grace,
        )
        self.warnings: list[str] = []

    # ---------------------------------------------------------------- opening

    @property
    def plans_ahead(self) -> bool:
        """Whether planning would be what a run waits for: a dbt that is held gets on that fast."""
        return self._request.entry.waits

    def launch(self) -> None:
        """Let dbt read the project while we look at everything else. Raises `EngineError`."""
        if self._request.entry.waits:
            self._reading.prepare()
            self._ahead.launch()
        else:
            self._reading.ask()

    def expect(self, kept: Selected | None) -> bool:
        """Go on from what dbt answered last time, if nothing says that it answers otherwise now.

        What the first build writes of the project is compared with it. Where that is not
        enough, dbt is asked: the answer is False, and `open` has its answer. It is not where
        relations are checked, so who knows of checks expects None. Raises `EngineError`.
        """
        if kept is not None and self._reading.expect(kept):
            self._know(kept)
            return True
        self._reading.ask()
        return False

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Parse and select; ``texts`` are selections to resolve besides the run's own."""
        project = self._reading.open(texts)
        hooks = None
        if project.hooks:
            from dbtorch.adapters.dbt.process.apart import HooksApart

            self._ahead.close()
            hooks = HooksApart(project, self._words, self._folder)
            self._build_words = hooks.words
        self._aside.manifest = project.manifest
        self._know(project.selected, hooks)
        return project.selected

    def _know(self, selected: Selected, hooks: HooksApart | None = None) -> None:
        """Take over what dbt has answered."""
        self._aside.selected, self._aside.hooks = selected, hooks
        self._ends.know(selected.target_path, hooks, builds=bool(selected.selected))
        self._own_place = Place(selected.target_path if hooks is None else hooks.target_path)
        self._places = Places(self._own_place, self._folder / "beside")
        nodes = [node for node in selected.nodes if node.id in selected.selected]
        self._graph = Graph(nodes, selected.selected_edges)
        self._to_come = {node.id for node in nodes}
        self._artifacts.dbt_version = selected.dbt_version
        if selected.dbt_version.startswith("1."):  # dbt 2 writes of ephemeral models, too
            inlined = (node.id for node in nodes if node.materialized == "ephemeral")
            self._artifacts.without = frozenset(inlined)
        self._selected = selected

    def accept(self) -> None:
        """Go on with what `open` answered."""
        with self._lock:
            self._accepted = True
            backlog, self._backlog = self._backlog, []
        for batch in backlog:
            self.start(batch)

    def refuse(self, why: str) -> None:
        """Do not go on: what waits, and what is still started, fails for this reason."""
        self._give_up(why, FailureClass.CODE)

    def forget(self) -> None:
        """Hand back, as lost, what waits for `accept`: another plan is to go on."""
        with self._lock:
            backlog, self._backlog = self._backlog, []
        self._artifacts.forget_skipped()
        for batch in backlog:
            self._hand_back(batch, "planned anew", FailureClass.TRANSIENT)

    # ---------------------------------------------------------------- what the loop asks

    def adopt(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Results of an earlier stretch of the same run, for complete artifacts."""
        self._to_come.difference_update(results)
        self._artifacts.adopt(results)

    def watch(self, checks: Mapping[str, Watch]) -> None:
        """What nodes look at that check a relation."""
        self._aside.watches = checks

    def start(self, batch: Batch) -> None:
        """Execute a batch; returns at once."""
        with self._lock:
            broken = self._broken
            if broken is None and not self._accepted:
                self._backlog.append(batch)
                return
        if broken is not None:
            self._hand_back(batch, *broken)
            return
        first = batch.attempts[0].node_id
        if first == SESSION_OPEN:
            self._in_a_thread(batch, lambda batch: self._report(batch, self._ends.open))
        elif first == SESSION_CLOSE:
            self._in_a_thread(batch, self._close_session)
        else:
            work = self._work(batch)
            with self._lock:
                self._to_come.difference_update(attempt.node_id for attempt in batch.attempts)
                self._works[batch.id] = work
            self._in_a_thread(batch, lambda _: self._follow(work))

    def foresee(self) -> None:
        """Let a dbt read the project for a batch to come."""
        alone = self._opened().batches == 1  # others are told how many threads they may use
        if alone and self._request.entry.waits:
            self._ahead.foresee()

    def skip(self, changes: Sequence[Changed]) -> None:
        """Note nodes that do not run, or are called off as they do, for the artifacts."""
        with self._lock:
            self._to_come.difference_update(change.node_id for change in changes)
        for change in changes:
            self._artifacts.skipped(change)

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt the dbt that has it in hand; it still reports how it ended."""
        with self._lock:
            waiting = [batch for batch in self._backlog if attempt in batch.attempts]
            self._backlog = [batch for batch in self._backlog if batch not in waiting]
            works = [work for work in self._works.values() if attempt in work.batch.attempts]
        for batch in waiting:
            self._hand_back(batch, "cancelled before it started", FailureClass.UNKNOWN)
        for work in works:
            work.cancel(attempt)
        if attempt.node_id in (SESSION_OPEN, SESSION_CLOSE):
            self._executable.interrupt(self._request.grace)

    def release(self) -> None:
        """Between two batches dbt has no file open."""

    def check(self, sources: Sequence[str]) -> list[Outcome]:
        """Check the freshness of sources, before anything of a run has begun, by their unique ids.

        Writes sources.json. Raises `EngineError` when dbt cannot check anything.
        """
        found = self._freshness(self._executable, self._own_place, None).check(sources)
        for id in sources:
            self._artifacts.checked(id, found[id][1])
        self._artifacts.write_sources(self._opened().target_path)
        return [found[id][0] for id in sources]

    def abandon(self, why: str) -> None:
        """End at once: what is under way, and what is still started, fails for this reason."""
        self._give_up(why, FailureClass.UNKNOWN)
        self._kill(why)

    def kill(self) -> None:
        """End every dbt at once, without a word."""
        self._kill("killed")

    def leave_out_start_hooks(self) -> None:
        """Open without on-run-start hooks."""
        self._ends.start_hooks = False

    def leave_out_end_hooks(self) -> None:
        """Close without on-run-end hooks, as dbt does when it is interrupted."""
        self._ends.end_hooks = False

    def close(self) -> None:
        """Leave, whatever the state; returns when the processes are gone."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._ahead.close()
        self.kill()
        for thread in self._threads:
            thread.join()
        self._places.close()
        self._guard.close()

    # ---------------------------------------------------------------- batches

    def _work(self, batch: Batch) -> Work:
        """What executes a batch."""
        first = batch.attempts[0].node_id
        if self._aside.has(first):
            return self._aside.take(batch)
        if first in self._graph:
            return self._build(batch)
        dbt = self._executable.part()
        # a build that is held may be writing into the project's own place as it parses
        place = self._places.take(batch.id, own=not self._request.entry.reads_first)
        check = self._freshness(dbt, place, batch.threads)
        grace = self._request.grace
        return Sources(batch, check, dbt, self._artifacts, self._emit, grace=grace)

    def _follow(self, work: Work) -> None:
        try:
            work.follow()
        finally:
            self._aside.give_back(work.batch)
            self._places.leave(work.batch.id)
            with self._lock:
                del self._works[work.batch.id]

    def _build(self, batch: Batch) -> Build:
        selected, request = self._opened(), self._request
        place = self._places.take(batch.id)
        around = Surroundings(
            executable=self._executable,
            graph=self._graph,
            materialized={node.id: node.materialized for node in selected.nodes},
            emit=self._hear,
            log_path=request.log_path,
            console=request.console,
            results_path=place.target_path / "run_results.json",
            starting=self._starting,
            rules=request.failure_classes,
            grace=request.grace,
            fail_fast=selected.fail_fast,
            read_early=partial(self._reading.read_early, place.target_path),
        )
        kinds = {self._graph.nodes[attempt.node_id].kind for attempt in batch.attempts}
        # dbt 1 builds no unit test without its model, and tests it; dbt 2 does
        tests = kinds <= {Kind.TEST, Kind.UNIT_TEST} and not self._request.entry.reads_first
        command = "test" if tests else "build"
        alone = place is self._own_place and batch.threads is None
        held = self._ahead.take() if alone and not tests else None

        def start() -> subprocess.Popen[bytes]:
            ids = [attempt.node_id for attempt in batch.attempts]
            folder = choose(self._folder / f"batch-{batch.id}", ids)
            process = None if held is None else held.go_on(folder)
            if process is not None:
                return process
            words = place.words(self._build_words)
            if batch.threads is not None:
                words = words.with_values({"--threads": str(batch.threads)})
            return self._executable.start((command, *words.batch(str(folder), command=command)))

        return Build(batch, start, around, self._keep)

    def _keep(self, build: Build) -> None:
        """Take what a batch came to into the artifacts, before anybody knows that it is over."""
        with self._lock:
            if build.ended_by_itself:
                path = self._places.of(build.batch.id).target_path
                self._confirm(self._reading.confirm(path))
            for id, outcome in build.results.items():
                self._artifacts.ended(id, {**outcome.details, "message": outcome.message or None})
            for id, why in build.lost.items():
                self._artifacts.ended(id, {"message": why})
            self._artifacts.dbt_wrote(build.written)
            self._ends.contradictions += build.contradictions
        self._places.leave(build.batch.id)

    def _confirm(self, found: bool | None) -> bool:
        """Whether dbt reads the project that the run is about; where it does not, say so."""
        if found is False:
            self._emit(Outdated())
        return bool(found)

    def _close_session(self, batch: Batch) -> None:
        """Close it, if the run was about what dbt reads now; a cancelled one need not be."""
        asks = self._reading.is_unconfirmed and self._ends.end_hooks
        path = self._own_place.target_path
        if not asks or self._confirm(self._reading.confirm_by_asking(path)):
            self._report(batch, self._ends.close)
        else:
            self._hand_back(batch, "planned anew", FailureClass.TRANSIENT)

    def _freshness(self, dbt: Executable, place: Place, threads: int | None) -> FreshnessCheck:
        selected = self._opened()
        limit = () if threads is None else ("--threads", str(threads))
        names = {
            node.id: ".".join(node.id.split(".")[1:])
            for node in selected.nodes
            if node.kind is Kind.SOURCE
        }
        return FreshnessCheck(
            dbt,
            (*place.words(self._build_words).common(), *limit),
            names,
            place.target_path,
            self._request.failure_classes,
        )

    def _report(self, batch: Batch, work: Callable[[], Outcome]) -> None:
        """Do what an end of the session is about, and say what it came to."""
        (attempt,) = batch.attempts
        self._emit(Started(attempt))
        self._emit(Finished(attempt, work()))
        self._emit(Ended(batch, ""))

    # ---------------------------------------------------------------- small things

    def _hear(self, event: Event | Outdated) -> None:
        """Tell what a build does; once it executes nodes, others may be thought of."""
        self._emit(event)
        if isinstance(event, Started) and self._to_come:
            self.foresee()

    def _kill(self, why: str) -> None:
        with self._lock:
            works = list(self._works.values())
        for work in works:
            work.kill(why)
        self._executable.kill()

    def _opened(self) -> Selected:
        if self._selected is None:
            raise EngineError("dbt has not read the project")
        return self._selected

    def _in_a_thread(self, batch: Batch, work: Callable[[Batch], None]) -> None:
        """Do it beside the loop. Whatever is raised there ends the batch, or the run would wait."""

        def do() -> None:
            try:
                work(batch)
            except Exception as error:
                why = str(error) or type(error).__name__
                self._emit(Ended(batch, why, FailureClass.UNKNOWN))

        thread = threading.Thread(target=do, name=f"dbtorch-batch-{batch.id}", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _give_up(self, why: str, failure_class: FailureClass) -> None:
        with self._lock:
            self._broken = (why, failure_class)
            backlog, self._backlog = self._backlog, []
        for batch in backlog:
            self._hand_back(batch, why, failure_class)

    def _hand_back(self, batch: Batch, why: str, failure_class: FailureClass) -> None:
        if len(batch.attempts) == 1:
            self._emit(Finished(batch.attempts[0], lost(why, failure_class)))
        self._emit(Ended(batch, why, failure_class))
