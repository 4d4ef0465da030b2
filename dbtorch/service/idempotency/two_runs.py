"""Runs a node twice in a scratch warehouse, each time in a dbt session of its own."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.dbt.scratch import relations
from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.inbox import Inbox
from dbtorch.app.planning import Planned
from dbtorch.app.runner import Runner
from dbtorch.core.checks.idempotency import LOAD_COLUMNS, Content, Difference, compare
from dbtorch.core.errors import EngineError, UsageError
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import Graph
from dbtorch.core.model.state import State
from dbtorch.core.run.machine import Run
from dbtorch.ports.engine import Engine, Selected
from dbtorch.service.idempotency.scratch_warehouse import ScratchWarehouse
from dbtorch.service.idempotency.subject import Subject
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.record import step_context
from dbtorch.service.wiring.connecting import connect
from dbtorch.service.wiring.engines import Engines
from dbtorch.service.wiring.steps import build_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A relation after the first and after the second run; None where it was not there."""

    name: str
    first: Content | None
    second: Content | None

    @property
    def difference(self) -> Difference | None:
        """How the two differ; None when they do not."""
        return compare(self.first, self.second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What two runs came to."""

    relations: tuple[Compared, ...]
    failure: str  # what the second run failed with, if it did

    @property
    def idempotent(self) -> bool:
        """Whether the second run succeeded and changed nothing."""
        return not self.failure and all(one.difference is None for one in self.relations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Everything two runs have in common."""

    project: Project
    options: RunOptions
    opening: OpenedPlan  # of the real target
    subject: Subject
    scratch: ScratchWarehouse
    run_context: RunContext
    ignore: tuple[str, ...]
    say: Callable[[str], None] = lambda _: None  # told what is under way

    def run(self) -> Verdict:
        """Run it twice, and compare. Raises `UsageError` and `EngineError` where that fails."""
        self.say(f"running {self.subject.name} on {self.scratch.title}, the first time")
        first = self._round(1)
        if first.failure or first.skipped:
            what = "failed" if first.failure else "was skipped"
            raise UsageError(
                f"{self.subject.name} {what} in its first run on {self.scratch.title}, so there is "
                f"nothing to compare: {first.failure or first.skipped}"
            )
        if self.scratch.real_file is not None and not self.scratch.had_file:
            self._must_not_be_there(self.scratch.real_file)
        self.say(f"running {self.subject.name} once more")
        second = self._round(2)
        self.say("comparing what the two have left")
        compared = tuple(
            Compared(name=name, first=first.after.get(name), second=second.after.get(name))
            for name in sorted({**first.after, **second.after})
        )
        if not self.subject.writes:
            compared = tuple(one for one in compared if self._touched(one, first))
            if not compared:
                raise UsageError(
                    f"step {self.subject.name} changed no table of {self.scratch.title}, so there"
                    " is nothing to compare; name what it writes under produces:"
                )
        return Verdict(relations=compared, failure=second.failure)

    def clean(self) -> None:
        """Drop the scratch schemas, if a round did not get as far."""
        if not self.scratch.schema or not (self.scratch.folder / "begun").exists():
            return
        try:
            nothing = replace(self.subject, selection="")
            with self._session("clean", nothing) as (engine, _, _):
                self._drop(engine)
        except BaseException as error:
            raise UsageError(
                f"the schemas {self.scratch.schema}* on target {self.scratch.target} could not be "
                f"dropped ({error}); drop them by hand"
            ) from error

    # ---------------------------------------------------------------- one round

    def _round(self, number: int) -> _Round:
        with self._session(str(number), self.subject) as (engine, inbox, selected):
            before = self._contents(engine, 0) if number == 1 and not self.subject.writes else {}
            run, said = self._drive(engine, inbox, selected, number)
            state = run.states[self.subject.id]
            why = said[-1].outcome.message if said and said[-1].outcome is not None else ""
            failed = state not in (State.SUCCESS, State.WARN, State.SKIPPED)
            skipped = state is State.SKIPPED
            useless = number == 1 and (failed or skipped)
            after = {} if useless else self._contents(engine, number)
            if number == 2 and self.scratch.schema:
                self._drop(engine)
            return _Round(
                before=before,
                after=after,
                failure=(why or str(state)) if failed else "",
                skipped=(why or "it had nothing to do") if skipped else "",
            )

    @contextmanager
    def _session(self, name: str, subject: Subject) -> Iterator[tuple[Engine, Inbox, Selected]]:
        """A dbt session in the scratch warehouse, connected."""
        inbox = Inbox()
        files = RunFiles(self.scratch.folder, name)
        engine = Engines(
            project=self.project,
            args=self.scratch.dbt_args(self.options.dbt_args, subject),
            files=files,
            run_context=self._run_context(name),
            cwd=self.options.cwd,
        ).session(inbox.put)
        try:
            if self.scratch.schema:  # hooks of the project may write anywhere
                engine.leave_out_start_hooks()
            selected = engine.open()
            if subject is self.subject:
                self._must_hold()
            engine.accept()
            (self.scratch.folder / "begun").touch()
            connect(engine, inbox)
            yield engine, inbox, selected
        finally:
            engine.close()

    def _must_hold(self) -> None:
        here = relations(self.scratch.folder / "target" / "manifest.json")
        there = relations(self.scratch.state / "manifest.json")
        self.scratch.must_hold(self.subject, here, there)

    def _drive(
        self, engine: Engine, inbox: Inbox, selected: Selected, number: int
    ) -> tuple[Run, list[Changed]]:
        """The node by itself, with its own policy for retries and time-outs."""
        planned = _alone(self.opening.planned, self.subject.id)
        run_context = self._run_context(str(number))
        steps = build_steps(
            self.project,
            replace(step_context(run_context, self.project, selected), project_id=""),
            RunFiles(self.scratch.folder, str(number)),
            run_context,
            inbox.put,
        )
        run = Run(planned.plan, random=random.random)
        said: list[Changed] = []
        try:
            Runner(
                run,
                planned,
                engine=engine,
                steps=steps,
                inbox=inbox,
                clock=SystemClock(),
                recorder=said.extend,
            ).drive()
        finally:
            steps.close()
        return run, [change for change in said if change.outcome is not None]

    def _run_context(self, name: str) -> RunContext:
        """Another id and start each time, as a run that is done again has; all else is the same."""
        run_id, now = f"{self.run_context.run_id}-{name}", SystemClock().now()
        return replace(self.run_context, run_id=run_id, now=now, outputs={}, run={})

    # ---------------------------------------------------------------- what is there

    def _contents(self, engine: Engine, number: int) -> dict[str, Content]:
        """What the subject's relations hold, or all tables where nobody knows which are its."""
        if not self.subject.writes:
            names: Sequence[str] = engine.tables()
            return {name: self._content(engine, name) for name in names}
        found = relations(self.scratch.folder / "target" / "manifest.json")
        names = [found[id].name for id in self.subject.writes]
        contents = {}
        for name in names:
            try:
                contents[name] = self._content(engine, name)
            except EngineError as error:
                if number > 1:
                    continue  # it was there after the first run
                raise UsageError(self._unread(name, error)) from error
        return contents

    def _content(self, engine: Engine, name: str) -> Content:
        return engine.content(name, ignore=(*LOAD_COLUMNS, *self.ignore))

    def _unread(self, name: str, error: EngineError) -> str:
        text = (
            f"{self.subject.name} ran, but {name} cannot be read on {self.scratch.title}: {error}"
        )
        if self.subject.step is None:
            return text
        return (
            f"{text}; the step must write to context.target, or DBTORCH_TARGET_PATH "
            "and DBTORCH_TARGET_SCHEMA"
        )

    def _touched(self, one: Compared, first: _Round) -> bool:
        """Whether one of the two runs changed a relation."""
        changed_by_first = compare(first.before.get(one.name), one.first) is not None
        return changed_by_first or one.difference is not None

    def _must_not_be_there(self, real: Path) -> None:
        if real.exists():
            raise UsageError(
                f"{self.subject.name} wrote to {real} and not to the copy, so it "
                "cannot be checked; let it open context.target['path'], or DBTORCH_TARGET_PATH"
            )

    def _drop(self, engine: Engine) -> None:
        found = relations(self.scratch.folder / "target" / "manifest.json")
        databases = {found[id].database for id in self.subject.writes}
        engine.drop_schemas(self.scratch.schema, sorted(map(str, databases)))
        with contextlib.suppress(FileNotFoundError):
            (self.scratch.folder / "begun").unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """What one run came to."""

    before: Mapping[str, Content]
    after: Mapping[str, Content]
    failure: str
    skipped: str


def _alone(planned: Planned, id: str) -> Planned:
    """The plan of one node; the session is opened and closed by us."""
    graph = Graph([planned.plan.graph.nodes[id]], [])
    return replace(planned, plan=replace(planned.plan, graph=graph, breaker=None))
