"""Runs a node twice in a scratch place, each time in a dbt session of its own."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.dbt.scratch import relations
from dbtorch.adapters.dbt.session import SessionEngine
from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.inbox import Inbox
from dbtorch.app.planning import Planned
from dbtorch.app.runner import Runner
from dbtorch.cli.check.place import Place
from dbtorch.cli.check.subject import Subject
from dbtorch.cli.engines import Engines
from dbtorch.cli.errors import UsageError
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.opening import Opening
from dbtorch.cli.project import Project
from dbtorch.cli.run_options import Options
from dbtorch.cli.wiring import build_steps
from dbtorch.core.events import Attempt, Batch, Changed, Finished
from dbtorch.core.graph import Graph
from dbtorch.core.idempotency import LOAD_COLUMNS, Content, Difference, compare
from dbtorch.core.plan import SESSION_OPEN
from dbtorch.core.run import Run
from dbtorch.core.state import State
from dbtorch.ports import EngineError, Selected, StepContext


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
    options: Options
    opening: Opening  # of the real target
    subject: Subject
    place: Place
    occasion: Occasion
    ignore: tuple[str, ...]

    def run(self) -> Verdict:
        """Run it twice, and compare. Raises `UsageError` and `EngineError` where that fails."""
        first = self._round(1)
        if first.failure or first.skipped:
            what = "failed" if first.failure else "was skipped"
            raise UsageError(
                f"{self.subject.name} {what} in its first run on {self.place.told}, so there is "
                f"nothing to compare: {first.failure or first.skipped}"
            )
        if self.place.real_file is not None and not self.place.had_file:
            self._must_not_be_there(self.place.real_file)
        second = self._round(2)
        compared = tuple(
            Compared(name=name, first=first.after.get(name), second=second.after.get(name))
            for name in sorted({**first.after, **second.after})
        )
        if not self.subject.writes:
            compared = tuple(one for one in compared if self._touched(one, first))
            if not compared:
                raise UsageError(
                    f"step {self.subject.name} changed no table of {self.place.told}, so there is "
                    "nothing to compare; name what it writes under produces:"
                )
        return Verdict(relations=compared, failure=second.failure)

    def clean(self) -> None:
        """Drop the scratch schemas, if a round did not get as far."""
        if not self.place.schema or not (self.place.folder / "begun").exists():
            return
        try:
            nothing = replace(self.subject, selection="")
            with self._session("clean", nothing) as (engine, _, _):
                self._drop(engine)
        except BaseException as error:
            raise UsageError(
                f"the schemas {self.place.schema}* on target {self.place.target} could not be "
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
            if number == 2 and self.place.schema:
                self._drop(engine)
            return _Round(
                before=before,
                after=after,
                failure=(why or str(state)) if failed else "",
                skipped=(why or "it had nothing to do") if skipped else "",
            )

    @contextmanager
    def _session(
        self, name: str, subject: Subject
    ) -> Iterator[tuple[SessionEngine, Inbox, Selected]]:
        """A dbt session in the scratch place, connected."""
        inbox = Inbox()
        files = RunFiles(self.place.folder, name)
        engine = Engines(
            project=self.project,
            args=self.place.dbt_args(self.options.dbt_args, subject),
            files=files,
            occasion=self._occasion(name),
            cwd=self.options.cwd,
        ).session(inbox.put)
        try:
            if self.place.schema:  # hooks of the project may write anywhere
                engine.leave_out_start_hooks()
            selected = engine.open()
            if subject is self.subject:
                self._must_hold()
            engine.accept()
            (self.place.folder / "begun").touch()
            _begin(engine, inbox)
            yield engine, inbox, selected
        finally:
            engine.close()

    def _must_hold(self) -> None:
        here = relations(self.place.folder / "target" / "manifest.json")
        there = relations(self.place.state / "manifest.json")
        self.place.must_hold(self.subject, here, there)

    def _drive(
        self, engine: SessionEngine, inbox: Inbox, selected: Selected, number: int
    ) -> tuple[Run, list[Changed]]:
        """The node by itself, with its own policy for retries and time-outs."""
        planned = _alone(self.opening.planned, self.subject.id)
        occasion = self._occasion(str(number))
        steps = build_steps(
            self.project,
            StepContext(
                run_id=occasion.run_id,
                project=self.project.name,
                pipeline=occasion.pipeline,
                logical_date=occasion.logical_date,
                data_interval_start=occasion.data_interval_start,
                data_interval_end=occasion.data_interval_end,
                project_dir=self.project.dir,
                target=selected.target,
                vars=selected.vars,
            ),
            RunFiles(self.place.folder, str(number)),
            occasion,
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

    def _occasion(self, name: str) -> Occasion:
        """Another run id each time, as a run that is done again has; all else is the same."""
        return replace(self.occasion, run_id=f"{self.occasion.run_id}-{name}", outputs={})

    # ---------------------------------------------------------------- what is there

    def _contents(self, engine: SessionEngine, number: int) -> dict[str, Content]:
        """What the subject's relations hold, or all tables where nobody knows which are its."""
        if not self.subject.writes:
            names: Sequence[str] = engine.ask("tables")
            return {name: self._content(engine, name, number) for name in names}
        found = relations(self.place.folder / "target" / "manifest.json")
        names = [found[id].name for id in self.subject.writes]
        contents = {}
        for name in names:
            try:
                contents[name] = self._content(engine, name, number)
            except EngineError as error:
                if number > 1:
                    continue  # it was there after the first run
                raise UsageError(self._unread(name, error)) from error
        return contents

    def _content(self, engine: SessionEngine, name: str, number: int) -> Content:
        file = self.place.folder / f"rows-{number}"
        ignore = (*LOAD_COLUMNS, *self.ignore)
        found = engine.ask("content", relation=name, ignore=ignore, file=str(file))
        digests = file.read_bytes()
        file.unlink()
        return Content(
            rows=found["rows"],
            columns=found["columns"],
            left_out=tuple(found["left_out"]),
            digests=digests,
        )

    def _unread(self, name: str, error: EngineError) -> str:
        text = f"{self.subject.name} ran, but {name} cannot be read on {self.place.told}: {error}"
        if self.subject.step is None:
            return text
        return (
            f"{text}; the step must write where it is told: context.target, or DBTORCH_TARGET_PATH "
            "and DBTORCH_TARGET_SCHEMA"
        )

    def _touched(self, one: Compared, first: _Round) -> bool:
        """Whether one of the two runs changed a relation."""
        changed_by_first = compare(first.before.get(one.name), one.first) is not None
        return changed_by_first or one.difference is not None

    def _must_not_be_there(self, real: Path) -> None:
        if real.exists():
            raise UsageError(
                f"{self.subject.name} wrote to {real} and not to the copy it was told of, so it "
                "cannot be checked; let it open context.target['path'], or DBTORCH_TARGET_PATH"
            )

    def _drop(self, engine: SessionEngine) -> None:
        found = relations(self.place.folder / "target" / "manifest.json")
        databases = {found[id].database for id in self.subject.writes}
        engine.ask("drop_schemas", prefix=self.place.schema, databases=sorted(map(str, databases)))
        with contextlib.suppress(FileNotFoundError):
            (self.place.folder / "begun").unlink()


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


def _begin(engine: SessionEngine, inbox: Inbox) -> None:
    """Connect. Raises `EngineError`."""
    opening = Attempt(SESSION_OPEN, 1)
    engine.start(Batch(0, (opening,)))
    while True:
        for event in inbox.take(None):
            if isinstance(event, Finished) and event.attempt == opening:
                if not event.outcome.state.ok:
                    raise EngineError(event.outcome.message)
                return
