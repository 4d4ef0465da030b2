"""The process engine: any dbt executable, which gets one closed part of the graph after another."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dbtorch.adapters.dbt.process.build import BatchContext, Build
from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.artifacts import Artifacts, choose
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.invocation import Invocation
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.freshness import FreshnessCheck
from dbtorch.adapters.dbt.process.generation import DBT_1, DBT_2, generation_of
from dbtorch.adapters.dbt.process.microbatch_builds import MicrobatchBuilds
from dbtorch.adapters.dbt.process.no_warehouse import NoWarehouse
from dbtorch.adapters.dbt.process.operations.beside_nodes import BesideNodes
from dbtorch.adapters.dbt.process.prestart import ColdStart, Prestart
from dbtorch.adapters.dbt.process.prestart.standby import Standby
from dbtorch.adapters.dbt.process.project.read import Reading
from dbtorch.adapters.dbt.process.project.target import read_project
from dbtorch.adapters.dbt.process.session_ends import SessionEnds
from dbtorch.adapters.dbt.process.sources import Sources
from dbtorch.adapters.dbt.process.target_directories import TargetDirectories, TargetDirectory
from dbtorch.adapters.dbt.session.answers import lost
from dbtorch.adapters.dbt.sql_step_kind import SqlStep
from dbtorch.adapters.dbt.warning_counts import DbtWarnings
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.core.config import GRACE
from dbtorch.core.errors import EngineError
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    Ended,
    Finished,
    Outcome,
    Outdated,
    Report,
    Started,
    Window,
)
from dbtorch.core.model.graph import Graph, Kind
from dbtorch.core.model.state import FailureClass
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.ports.engine import Selected
from dbtorch.ports.loop import Emit

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.operations.isolated_hooks import IsolatedHooks
    from dbtorch.adapters.dbt.process.operations.relation_checks import RelationCheckBatch
    from dbtorch.adapters.dbt.process.operations.sql_step import StepRun
    from dbtorch.core.checks.relation_checks import RelationChecks

#: What has a batch in its hands.
Work: TypeAlias = "Build | Sources | StepRun | RelationCheckBatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRequest:
    """How to call dbt."""

    entry: Launcher
    args: tuple[str, ...]  # options of `dbt build`
    asked: tuple[str, ...] = ()  # those that somebody typed
    project_dir: Path
    cwd: Path
    environ: Mapping[str, str]
    log_path: Callable[[Attempt], Path]
    console: Path  # what dbt says of no node
    scratch: Path  # folder for files of this run
    prestart: bool = True  # whether dbt may be started before it is known what it builds
    batches: int = 1  # that may be at work at once, where the warehouse allows it
    grace: float = GRACE  # seconds from interrupting dbt to killing it
    failure_classes: tuple[Rule, ...] = ()  # the user's, before the built-in table
    hide: Scrubber = field(default_factory=Scrubber)  # knows the secrets of the run
    sql: Mapping[str, SqlStep] = field(default_factory=dict)  # by node id
    run: Mapping[str, Any] = field(default_factory=dict)  # `run` in a sql step's templates


class ProcessEngine(NoWarehouse):
    """Implements `Engine` with a dbt process for each batch."""

    def __init__(self, request: ProcessRequest, emit: Emit) -> None:
        self._request = request
        self._emit = emit
        self._words = DbtArgs.of(request.args)
        self._folder = (request.scratch / "dbt").absolute()
        # a dbt that is interrupted cancels its queries; terminated, it leaves them to the warehouse
        grace = request.grace
        self._guard = Guard(grace=grace, ask=signal.SIGINT)
        self._executable = Executable(
            request.entry,
            request.cwd,
            request.environ,
            self._guard,
            hide=request.hide,
        )
        self._lock = threading.RLock()
        self._selected: Selected | None = None
        self._graph = Graph([], [])
        self._generation = request.entry.generation or DBT_2  # until a manifest says it
        self._accepted = False
        self._backlog: list[Batch] = []
        self._works: dict[int, Work] = {}  # by batch
        self._threads: list[threading.Thread] = []
        self._artifacts = Artifacts(Invocation(request.asked, request.environ))
        self._ends = SessionEnds(self._artifacts, self._executable, request.failure_classes, emit)
        self._broken: tuple[str, FailureClass] | None = None
        self._closed = False
        self._build_words = self._words  # of everything that executes nodes
        self._own_place = TargetDirectory(
            request.project_dir / "target"
        )  # where that writes its artifacts
        self._places = TargetDirectories(self._own_place, self._folder / "beside")
        self._starting = threading.Lock()  # of one dbt at a time
        self._prestart: Prestart = ColdStart()
        if request.prestart and request.entry.waits:
            self._prestart = Standby(self._executable, self._words, self._folder / "held")
        self._reading = Reading(
            self._executable,
            self._words,
            self._folder,
            project_dir=request.project_dir,
            cwd=request.cwd,
            environ=request.environ,
            batches=request.batches,
            speculates=self._prestart.is_ahead,
        )
        self._to_come: set[str] = set()  # nodes that no build has been given
        self._microbatches = MicrobatchBuilds(self._words, request.environ)
        self._aside = BesideNodes(
            executable=self._executable,
            words=self._words,
            folder=self._folder,
            environ=request.environ,
            sql=request.sql,
            run=request.run,
            emit=emit,
            log_path=request.log_path,
            rules=request.failure_classes,
            grace=request.grace,
        )
        self.warnings: list[str] = []
        self.dbt_warnings = DbtWarnings()

    # ---------------------------------------------------------------- opening

    @property
    def plans_from_cache(self) -> bool:
        """Whether planning would be what a run waits for: a dbt that is held gets on that fast."""
        return self._prestart.is_ahead

    def launch(self) -> None:
        """Let dbt read the project while we look at everything else. Raises `EngineError`."""
        if self._prestart.is_ahead:
            self._reading.prepare()
            self._prestart.launch()
        else:
            self._reading.ask()

    def start_speculatively(self, cached: Selected | None) -> bool:
        """Go on from what dbt answered last time, if nothing says that it answers otherwise now.

        What the first build writes of the project is compared with it. Where that is not
        enough, dbt is asked: the answer is False, and `open` has its answer. It is not where
        relations are checked, so who knows of checks expects None. Raises `EngineError`.
        """
        if cached is not None and self._reading.expect(cached):
            self._know(cached)
            return True
        self._reading.ask()
        return False

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Parse and select; ``texts`` are selections to resolve besides the run's own."""
        project = self._reading.open(texts)
        hooks = None
        if project.hooks:
            from dbtorch.adapters.dbt.process.operations.isolated_hooks import IsolatedHooks

            self._prestart.close()
            hooks = IsolatedHooks(project, self._words, self._folder, self._request.environ)
            self._build_words = hooks.words
        self._aside.manifest = project.manifest
        self._know(project.selected, hooks)
        return project.selected

    def _know(self, selected: Selected, hooks: IsolatedHooks | None = None) -> None:
        """Take over what dbt has answered."""
        for warning in selected.warnings:
            self.dbt_warnings.add(warning, "list")
        self._aside.selected, self._aside.hooks = selected, hooks
        self._ends.know(selected.target_path, hooks, builds=bool(selected.selected))
        self._own_place = TargetDirectory(
            selected.target_path if hooks is None else hooks.target_path
        )
        self._places = TargetDirectories(self._own_place, self._folder / "beside")
        nodes = [node for node in selected.nodes if node.id in selected.selected]
        self._graph = Graph(nodes, selected.selected_edges)
        self._to_come = {node.id for node in nodes}
        self._artifacts.dbt_version = selected.dbt_version
        self._generation = generation_of(selected.dbt_version)
        self._microbatches.know(
            self._graph,
            self._build_words,
            ends_windows_now=self._generation.ends_windows_now,
        )
        if not self._generation.writes_ephemeral:
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

    def refuse(self, why: str, failure_class: FailureClass = FailureClass.CODE) -> None:
        """Do not go on: what waits, and what is still started, fails for this reason."""
        self._give_up(why, failure_class)

    def invalidate(self) -> None:
        """Hand back, as lost, what waits for `accept`: another plan is to go on."""
        with self._lock:
            backlog, self._backlog = self._backlog, []
        self._artifacts.forget_skipped()
        for batch in backlog:
            self._hand_back(batch, "planned again", FailureClass.TRANSIENT)

    # ---------------------------------------------------------------- what the loop asks

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
        unsettled: Collection[str] = (),
    ) -> None:
        """Take over what earlier executions of the same run knew.

        Results are for complete artifacts; ``microbatches`` are those that were planned of each
        model, and whether they are built. Of what is ``unsettled`` more may have been.
        """
        self._to_come.difference_update(results)
        self._artifacts.adopt(results)
        self._microbatches.adopt(microbatches, unsettled)

    def watch(self, checks: Mapping[str, RelationChecks]) -> None:
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

    def prewarm(self) -> None:
        """Let a dbt read the project for a batch to come."""
        alone = self._opened().batches == 1  # others are told how many threads they may use
        if alone:
            self._prestart.prewarm()

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

    def check_sources(self, sources: Sequence[str]) -> list[Outcome]:
        """Check the freshness of sources, before anything of a run has begun, by their unique ids.

        Writes sources.json. Raises `EngineError` when dbt cannot check anything.
        """
        found = self._freshness(self._executable, self._own_place, None).check(sources)
        for id in sources:
            self._artifacts.checked(id, found[id][1])
        self._artifacts.write_sources(self._opened().target_path)
        return [found[id][0] for id in sources]

    def gone(self, nodes: Sequence[str]) -> frozenset[str]:
        """Ask a dbt of its own, which also says so where the warehouse cannot be looked at."""
        return self._aside.gone(nodes) if nodes else frozenset()

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
        self._give_up("the engine was closed", FailureClass.UNKNOWN)
        self._prestart.close()
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
        around = BatchContext(
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
            warned=partial(self.dbt_warnings.add, source=f"build {batch.id}"),
            tells_microbatches=request.entry.generation is DBT_1,
        )
        kinds = {self._graph.nodes[attempt.node_id].kind for attempt in batch.attempts}
        tests = (
            kinds <= {Kind.TEST, Kind.UNIT_TEST} and not self._generation.builds_unit_tests_alone
        )
        command = "test" if tests else "build"
        alone = place is self._own_place and batch.threads is None

        given = [attempt.node_id for attempt in batch.attempts]
        goes_on = self._microbatches.left(given)
        left_out = {} if goes_on else self._microbatches.not_again(given, self._artifacts.results)
        ids = [id for id in given if id not in left_out]
        new = self._microbatches.begin(ids)

        def start() -> subprocess.Popen[bytes]:
            folder = choose(self._folder / f"batch-{batch.id}", ids)
            window = goes_on or self._microbatches.window(ids)
            # taken by who starts: nobody else would end it
            if alone and not tests and not window:
                process = self._prestart.build(folder)
                if process is not None:
                    return process
            words = place.words(self._build_words).with_values(window)
            if batch.threads is not None:
                words = words.with_values({"--threads": str(batch.threads)})
            return self._executable.start((command, *words.batch(str(folder), command=command)))

        return Build(batch, start, around, partial(self._keep, new=new), left_out)

    def _keep(self, build: Build, new: Collection[str]) -> None:
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
            self._microbatches.settle(build, new)
            if build.about is not None:
                self._artifacts.called.saw(*build.about)
            self._ends.contradictions += build.contradictions
            self._ends.doubted += build.doubted
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
            flags = read_project(self._request.project_dir).get("flags")
            self._artifacts.called.flags = flags if isinstance(flags, Mapping) else {}
            self._report(batch, self._ends.close)
        else:
            self._hand_back(batch, "planned again", FailureClass.TRANSIENT)

    def _freshness(
        self, dbt: Executable, place: TargetDirectory, threads: int | None
    ) -> FreshnessCheck:
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

    def _hear(self, event: Report) -> None:
        """Tell what a build does; once it executes nodes, others may be thought of."""
        with self._lock:
            self._microbatches.note(event)
        self._emit(event)
        if isinstance(event, Started) and self._to_come:
            self.prewarm()

    def _kill(self, why: str) -> None:
        for work in list(self._works.values()):  # no lock: signal handlers come here
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
