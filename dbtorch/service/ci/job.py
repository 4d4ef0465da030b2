"""One run for a pull request: what is done before it begins, and what is seen when it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dbtorch.adapters.dbt.project_code import read_code
from dbtorch.core.ci.changes import Changes, compare_code
from dbtorch.core.ci.code import Code
from dbtorch.core.ci.result import CiResult, Compared
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import RunState, State
from dbtorch.core.text.durations import text as duration
from dbtorch.ports.engine import Engine
from dbtorch.service.ci.budget import refuse_long
from dbtorch.service.ci.comparing import compare_all
from dbtorch.service.ci.freshness import look_at_sources
from dbtorch.service.ci.options import CiOptions, Freshness
from dbtorch.service.ci.preparation import Preparation
from dbtorch.service.ci.results import described, with_run
from dbtorch.service.ci.session import CiSession
from dbtorch.service.ci.state import States
from dbtorch.service.ci.target import refuse_another, refuse_production
from dbtorch.service.ci.unseen import Unseen
from dbtorch.service.ci.words import changed_steps
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.service.tell import Tell


@dataclass(slots=True, kw_only=True)
class Job:
    """Implements `Companion`; ``result`` is what is known so far."""

    project: Project
    options: CiOptions
    wanted: RunOptions
    states: States | None
    unseen: Unseen
    say: Tell
    result: CiResult = field(init=False)
    _adapter: str = field(init=False)  # its type
    _now: Code = field(init=False)
    _production: Code = field(init=False)

    def before(self, opened: OpenedPlan, engine: Engine) -> bool:
        """Say what changed, and make room for it. Raises `UsageError` where none must be made."""
        session = CiSession(engine=engine, opened=opened)
        selected = session.selected
        self._adapter = str(selected.target["type"])
        now = self._now = read_code(selected.manifest)
        before = production = Code(resources={}, macros={})
        if self.states is not None:
            before = production = read_code(self.states.base.folder / "manifest.json")
            if self.states.latest is not self.states.base:
                production = read_code(self.states.latest.folder / "manifest.json")
        self._production = production
        refuse_another(before, now, "" if self.states is None else self.states.base.url)
        changes = self._changes(session, before)
        self.result = described(self.project, self.options, self.states, selected, now, changes)
        if not selected.selected:
            self.say("nothing that dbt builds has changed")
            return False
        built = tuple(now.resources[id] for id in selected.selected if id in now.resources)
        refuse_production(built, production.resources.values())
        refuse_long(self.options.max_duration, session, self.states, self.say)
        if self.options.freshness is Freshness.REPORT:
            looked = look_at_sources(session, built, now, production)
            self.result = replace(self.result, sources=tuple(looked))
        prepared = Preparation(
            config=self.project.config,
            clone=self.options.clone,
            words=self.wanted.dbt_args,
            built=built,
            now=now,
            production=production,
        )
        notes, cloned = prepared.made(session, self.options.pr, self.project.name, self.say)
        unseen = [self.unseen.note] if self.unseen.note else []
        notes = (*self.result.notes, *unseen, *notes, *self._partial())
        self.result = replace(self.result, cloned=cloned, notes=notes)
        return True

    def after(self, run: RunRecord, engine: Engine) -> None:
        """Say what became of it, and how it differs from production."""
        self.result = with_run(self.result, self.project, run, self.states, self._now)
        if self.states is not None and self.options.compare and not [*self._partial()]:
            self.result = replace(self.result, compared=tuple(self._compared(run, engine)))

    def _changes(self, session: CiSession, before: Code) -> Changes:
        base = None if self.states is None else self.states.base
        changed, gone = changed_steps(self.project, base)
        fed: dict[str, tuple[str, ...]] = {}
        for name in changed:
            for text in self.project.config.steps[name].produces:
                for id in session.selected.resolved.get(text, ()):
                    fed[id] = (*fed.get(id, ()), name)
        found = compare_code(
            self._now,
            before,
            sorted(session.selected.selected),
            fed=fed,
            unseen=self.unseen.reasons(self._now),
            sources=(session.selected.selected_sources - fed.keys()) & self._now.sources.keys(),
        )
        return replace(found, steps=changed, steps_gone=gone)

    def _partial(self) -> Iterator[str]:
        """Why what is built is not all there is of it, a sentence each."""
        if "--empty" in self.wanted.dbt_args:
            yield "built without rows (--empty), so nothing is compared with production"
        if self.options.limit_event_time is not None:
            limit = duration(self.options.limit_event_time)
            yield f"built from the last {limit} alone, so nothing is compared with production"

    def _compared(self, run: RunRecord, engine: Engine) -> Iterator[Compared]:
        """How what is done differs; a run that somebody has ended is not kept from ending."""
        if run.state is RunState.CANCELLED:
            return
        done = {node.id for node in run.nodes if node.state in (State.SUCCESS, State.WARN)}
        known = self._now.resources.keys()
        built = [self._now.resources[node.id] for node in run.nodes if node.id in done & known]
        how = replace(self.options.how, adapter=self._adapter)
        cloned = self.result.cloned
        yield from compare_all(built, self._production, engine, how, cloned=cloned)
