"""Building what a pull request changes, beside production, and comparing the two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.config.locate import Locator
from dbtorch.adapters.dbt.project_code import read_code
from dbtorch.adapters.git import checkout
from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.core.ci.affected import affected_by
from dbtorch.core.ci.changes import Changes, compare_code
from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.ci.result import Against, CiResult, Compared, NodeResult
from dbtorch.core.config import InCi, PipelineSpec
from dbtorch.core.errors import EngineError, RunInProgress, UsageError
from dbtorch.core.history.records import NodeRecord, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from dbtorch.core.production import RESULTS
from dbtorch.core.text.durations import text as duration
from dbtorch.core.text.links import run_link
from dbtorch.core.text.phrases import calm
from dbtorch.ports.engine import Selected
from dbtorch.service.ci.beforehand import Clones, cloned, mocked, stand_ins
from dbtorch.service.ci.comparing import compare_all
from dbtorch.service.ci.forks import NoSecrets
from dbtorch.service.ci.freshness import look_at_sources
from dbtorch.service.ci.options import CiOptions, Freshness
from dbtorch.service.ci.session import CiSession, open_ci_session
from dbtorch.service.ci.state import States, find_states
from dbtorch.service.ci.target import redirect, refuse_production, schemas_of
from dbtorch.service.ci.words import changed_steps, words_of
from dbtorch.service.production.find import NoState, OldState
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.listener import Executed, Listen
from dbtorch.service.run.run import run
from dbtorch.service.tell import Tell, nobody

#: Seconds that an earlier run of the same pull request has to end.
_PATIENCE = 120.0


def ci(
    options: CiOptions, listen: Listen, control: RunControl, *, say: Tell = nobody
) -> tuple[Executed, CiResult]:
    """Build and compare; ``say`` is told what was found, before anything is built.

    Raises `NoState` where there is nothing to compare with, and what `run` raises.
    """
    options, _ = options.settled()
    project = open_project(options.run.project_dir, options.run.environ)
    folder = make_state_dir(project.dir, options.run.environ) / "ci" / f"pr_{options.pr}"
    now = SystemClock().now()
    place = redirect(project, options, folder / "profiles")
    states = None if options.full else _states(project, options, folder / "state", now)
    if states is not None:
        for note in filter(None, (_found(states), states.note)):
            say(note)
    else:
        say("no state of production is used: everything is built")
    words = words_of(project, options, states, place)
    wanted = replace(
        options.run,
        dbt_args=words,
        narrowed=bool({"--select", "--selector", "--exclude"} & {*words}),
        steps=any(step.ci is InCi.RUN for step in project.config.steps.values()),
        spec=PipelineSpec(name=f"pr_{options.pr}"),
        freshness=options.freshness is Freshness.GATE,
        alerts=False,
    )
    with ExitStack() as stack:
        session = stack.enter_context(open_ci_session(project, wanted, control))
        job = _Job(
            project=project, options=options, wanted=wanted, states=states, session=session, say=say
        )
        return job.go(listen, control)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One run for a pull request, once dbt has said what is selected."""

    project: Project
    options: CiOptions
    wanted: RunOptions
    states: States | None
    session: CiSession
    say: Tell

    def go(self, listen: Listen, control: RunControl) -> tuple[Executed, CiResult]:
        """Everything, in order."""
        selected = self.session.selected
        now = read_code(selected.target_path / "manifest.json")
        before = Code(resources={}, macros={})
        if self.states is not None:
            before = read_code(self.states.base.folder / "manifest.json")
        changes = self._changes(now, before)
        result = self._described(now, changes)
        if not selected.selected:
            self.say("nothing that dbt builds has changed")
            return Executed(run_id="", state=RunState.SUCCESS, record=None), result
        built = [now.resources[id] for id in selected.selected if id in now.resources]
        production = before
        if self.states is not None and self.states.latest is not self.states.base:
            production = read_code(self.states.latest.folder / "manifest.json")
        refuse_production(built, production.resources.values())
        self._refuse_long()
        if self.options.freshness is Freshness.REPORT:
            looked = look_at_sources(self.session, built, now, production)
            result = replace(result, sources=tuple(looked))
        notes, cloned = self._prepared(built, now, production)
        result = replace(result, cloned=cloned)
        self.session.release()
        executed = self._run(listen, control)
        control.kills(self.session.engine.kill)
        result = self._with_run(result, executed, now, notes)
        if executed.record is None or self._without_comparison():
            return executed, result
        return executed, replace(result, compared=tuple(self._compared(result, now, production)))

    # ---------------------------------------------------------------- before

    def _changes(self, now: Code, before: Code) -> Changes:
        base = None if self.states is None else self.states.base
        changed, gone = changed_steps(self.project, base)
        fed: dict[str, tuple[str, ...]] = {}
        for name in changed:
            for text in self.project.config.steps[name].produces:
                for id in self.session.selected.resolved.get(text, ()):
                    fed[id] = (*fed.get(id, ()), name)
        found = compare_code(now, before, sorted(self.session.selected.selected), fed=fed)
        return replace(found, steps=changed, steps_gone=gone)

    def _described(self, now: Code, changes: Changes) -> CiResult:
        selected, states = self.session.selected, self.states
        found = [*affected_by(now, changes)]
        shown = {one.id for one in found} | {one.resource.id for one in changes.nodes}
        against = None
        if states is not None:
            against = Against(url=states.base.url, at=states.base.at, commit=states.base.commit)
        return CiResult(
            pr=self.options.pr,
            project=self.project.name,
            schema=str(selected.target["schema"]),
            commit=checkout(self.project.dir).commit,
            target=str(selected.target["name"]),
            against=against,
            changes=changes.nodes,
            edges=tuple(
                (parent, id)
                for id in sorted(shown)
                for parent in now.resources[id].parents
                if parent in shown
            ),
            deleted=changes.deleted,
            steps=(*changes.steps, *changes.steps_gone),
            affected=tuple(found),
            notes=tuple(_notes(states, selected)),
        )

    def _refuse_long(self) -> None:
        """Raise `UsageError` where by what production took the run does not fit."""
        most = self.options.max_duration
        if most is None:
            return
        usual = self._usual()
        if not usual.keys() & self.session.selected.selected:
            self.say("nobody knows how long it takes, so --max-duration refuses nothing")
        expected = self.session.expected_seconds(usual)
        if expected > most:
            raise UsageError(
                f"the run would take about {calm(expected)} by what production took, which is more"
                f" than --max-duration {duration(most)}: nothing was built; select less, give it"
                " more threads or a longer --max-duration"
            )

    def _usual(self) -> Mapping[str, float]:
        """Seconds that nodes took in production."""
        if self.states is None:
            return {}
        try:
            said = json.loads((self.states.latest.folder / RESULTS).read_bytes())
            return {one["unique_id"]: float(one["execution_time"]) for one in said["results"]}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _prepared(
        self, built: list[Resource], now: Code, production: Code
    ) -> tuple[list[str], tuple[str, ...]]:
        """Make the schemas, each with a word whose it is, and what is to be there beforehand.

        Answers what could not be done, and which models are cloned. Raises `UsageError`.
        """
        try:
            self.session.connect()
            mocks = stand_ins(self.project.config, self.session, built, now, production)
            places = [*schemas_of(built), *(one.source.place[:2] for one in mocks)]
            schemas = dict.fromkeys(places)
            marked = self.session.mark([*schemas], self.options.pr, self.project.name)
        except EngineError as error:
            return [f"the schema is not marked, so no cleanup drops it: {error}"], ()
        ours = [where for where, there in marked.items() if there]
        clones = Clones(how=self.options.clone, built=tuple(built), production=production)
        with_rows = cloned(clones, self.session, ours, self.wanted.dbt_args, self.say)
        notes = [
            *(
                f"schema {schema} holds what somebody else has made, so it has no marker, no"
                " cleanup drops it, and nothing is put there beforehand"
                for (_, schema), there in marked.items()
                if not there
            ),
            *self._not_found_again(marked),
            *mocked(mocks, self.session, ours, self.say),
        ]
        return notes, with_rows

    def _not_found_again(self, schemas: Iterable[tuple[str, str]]) -> Iterator[str]:
        """Schemas whose names `dbtorch ci cleanup` does not look for, a sentence each."""
        own = str(self.session.selected.target["schema"]).lower()
        for _, schema in schemas:
            if not f"{schema.lower()}_".startswith(f"{own}_"):
                yield (
                    f"schema {schema} does not begin with {own}, so no cleanup finds it: let"
                    " generate_schema_name put the target's schema first"
                )

    # ---------------------------------------------------------------- the run

    def _run(self, listen: Listen, control: RunControl) -> Executed:
        try:
            return run(self.wanted, listen, control)
        except RunInProgress as error:
            self.say(f"cancelling run {error.run_id}, of an earlier commit of this pull request")
            self._cancel(error.run_id)
            return run(replace(self.wanted, wait=_PATIENCE), listen, control)

    def _cancel(self, run_id: str) -> None:
        from dbtorch.service.history.store import history_of
        from dbtorch.service.run.cancel import cancel

        store = history_of(self.project, self.wanted, writes=True)
        with closing(store), suppress(UsageError):  # it has just ended
            cancel(store, run_id, reason="a newer commit of the pull request", wait=True)

    def _with_run(
        self, result: CiResult, executed: Executed, now: Code, notes: list[str]
    ) -> CiResult:
        record = executed.record
        usual, locator = self._usual(), Locator(self.project.dir)
        nodes = (
            _node(node, usual.get(node.id), _line(now.resources.get(node.id), locator))
            for node in _nodes(record)
        )
        return replace(
            result,
            run_id=executed.run_id if record is not None else "",
            link=run_link(self.project.config.ui.url, executed.run_id) if record else "",
            state=executed.state,
            seconds=_seconds(record),
            nodes=tuple(nodes),
            notes=(*result.notes, *notes, *self._partial()),
        )

    def _without_comparison(self) -> bool:
        empty = "--empty" in self.wanted.dbt_args
        partial = self.options.limit_event_time is not None
        return self.states is None or not self.options.compare or empty or partial

    def _partial(self) -> Iterator[str]:
        if "--empty" in self.wanted.dbt_args:
            yield "built without rows (--empty), so nothing is compared with production"
        if self.options.limit_event_time is not None:
            limit = duration(self.options.limit_event_time)
            yield f"built from the last {limit} alone, so nothing is compared with production"

    def _compared(self, result: CiResult, now: Code, production: Code) -> Iterator[Compared]:
        done = {node.id for node in result.nodes if node.state in (State.SUCCESS, State.WARN)}
        built = [now.resources[node.id] for node in result.nodes if node.id in now.resources]
        adapter = str(self.session.selected.target["type"])
        yield from compare_all(
            (one for one in built if one.id in done),
            production,
            self.session.engine,
            self.options.how,
            adapter,
        )


def _states(project: Project, options: CiOptions, folder: Path, now: datetime) -> States:
    """The states of production; where a fork's job finds none, it is for want of secrets."""
    try:
        return find_states(project, options, folder, now)
    except NoState as error:
        if not options.fork or isinstance(error, OldState):
            raise
        raise NoSecrets(options.fork, str(error)) from error


def _found(states: States) -> str:
    commit = f", commit {states.base.commit[:12]}" if states.base.commit else ""
    return f"compared with {states.base.url}{commit}"


def _notes(states: States | None, selected: Selected) -> Iterator[str]:
    if states is None:
        return
    if states.note:
        yield states.note
    had, has = (_minor(text) for text in (states.base.dbt_version, selected.dbt_version))
    if had and had != has:
        yield (
            f"production was built by dbt {states.base.dbt_version}, and this is dbt"
            f" {selected.dbt_version}, which may find changes that nobody has made: use the same"
            " version in both"
        )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _nodes(record: RunRecord | None) -> Iterator[NodeRecord]:
    """Nodes of a run; an end of the dbt session only where it failed."""
    for node in record.nodes if record is not None else ():
        if node.kind is not Kind.SESSION or node.state is State.FAILED:
            yield node


def _line(one: Resource | None, locator: Locator) -> int:
    """Line of the YAML file on which a node, or what it tests, is described; 0 for all others."""
    if one is None:
        return 0
    tested, column = one.about
    return locator.described(tested or one.name, one.path, column=column)


def _node(node: NodeRecord, usual: float | None, line: int) -> NodeResult:
    last = node.attempts[-1] if node.attempts else None
    message = last.message if last is not None and last.message else str(node.reason)
    return NodeResult(
        id=node.id,
        name=node.name,
        kind=node.kind,
        state=node.state,
        seconds=last.seconds if last is not None else None,
        usual=usual,
        message="" if node.state is State.SUCCESS else message,
        path=node.path,
        line=line,
        owner=node.owner,
    )


def _seconds(record: RunRecord | None) -> float | None:
    if record is None or record.finished_at is None:
        return None
    return (record.finished_at - record.started_at).total_seconds()
