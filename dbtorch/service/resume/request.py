"""What is asked of a run that goes on, and what a person should know of how it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from dbtorch.app.earlier import differences, outputs
from dbtorch.app.resume import ResumePlan, ResumeSpec, resume
from dbtorch.core.config import Config
from dbtorch.core.errors import NothingToDo, SelectionError, UsageError
from dbtorch.core.history.records import RunRecord, Verb
from dbtorch.core.model.graph import Graph, Kind
from dbtorch.core.model.reason import ReasonKind
from dbtorch.core.model.selection import Chosen, take_apart
from dbtorch.core.model.state import RunState
from dbtorch.core.text.nearest import did_you_mean
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import find_node, read_run
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.resume.kept_state import selects_by_state

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequest:
    """What the command line asks of a run that goes on."""

    verb: Verb
    start_from: tuple[str, ...] = ()  # nodes, by their names
    select: tuple[str, ...] = ()  # as after `dbtorch run --select`
    exclude: tuple[str, ...] = ()
    same_code: bool = False
    reason: str = ""

    def check(self, earlier: RunRecord) -> None:
        """Raise `NothingToDo`, or `UsageError` for a node that is none of the run's."""
        for text in self.start_from:
            find_node(earlier, text)
        done = earlier.state is RunState.SUCCESS and not earlier.gated
        if done and self.verb is Verb.RETRY and not self.start_from:
            raise NothingToDo(
                f"run {earlier.run_id} succeeded; there is nothing to retry"
                f" (`dbtorch rerun {earlier.run_id} --select …` runs a part of it again)"
            )

    def texts(self, config: Config) -> tuple[str, ...]:
        """Selections that dbt has to read. Raises `UsageError`."""
        texts = [text for text in (*self.select, *self.exclude) if not _is_printed(text)]
        return _taken_apart(texts, config).dbt

    def go_on(
        self,
        earlier: RunRecord,
        opened: OpenedPlan,
        config: Config,
        now: datetime,
        *,
        gone: frozenset[str] = frozenset(),
    ) -> ResumePlan:
        """What stays and what runs again. Raises `UsageError` where that is not what was meant.

        ``gone`` are nodes whose relations are not there any more.
        """
        plan = opened.planned.plan
        if self.same_code:
            _refuse_other_code(earlier, plan.graph)
        wish = replace(self._wish(earlier, opened, config), gone=gone)
        resumed = resume(earlier, plan, wish, now)
        _refuse_another_state(earlier, resumed, opened)
        request = self._ids(earlier, opened, config, self.select)
        if self.select and request and not (request - resumed.blocked.keys()):
            id, barrier = next(iter(resumed.blocked.items()))
            raise UsageError(
                f"{id} cannot run behind {barrier}, which failed: select that too, fix it with"
                f" `dbtorch retry {earlier.run_id}`, or mark it"
            )
        return resumed

    def recorded(self, resumed: ResumePlan) -> str:
        """What was asked, for the history."""
        parts = [f"--from {text}" for text in self.start_from]
        parts += [f"--select {text}" for text in self.select]
        parts += [f"--exclude {text}" for text in self.exclude]
        words = [self.reason, " ".join(parts), *changed_files(resumed)]
        return "; ".join(filter(None, words))

    def _wish(self, earlier: RunRecord, opened: OpenedPlan, config: Config) -> ResumeSpec:
        if self.verb is Verb.RETRY:
            ids = {find_node(earlier, text).id for text in self.start_from}
            gone = sorted(ids - opened.planned.plan.graph.nodes.keys())
            if gone:
                raise UsageError(f"{gone[0]} is no longer part of the project's run")
            return ResumeSpec(again=frozenset(ids), why="retry --from")
        return ResumeSpec(
            again=self._ids(earlier, opened, config, self.select),
            never=self._ids(earlier, opened, config, self.exclude),
            nothing_else=True,
            why="rerun",
        )

    def _ids(
        self, earlier: RunRecord, opened: OpenedPlan, config: Config, texts: Sequence[str]
    ) -> frozenset[str]:
        """Nodes of the plan that selections come to. Raises `UsageError` for one without any."""
        graph, resolved = opened.planned.plan.graph, opened.selected.resolved
        found: set[str] = set()
        for text in texts:
            if _is_printed(text):
                found |= {find_node(earlier, text).id} & graph.nodes.keys()
                continue
            chosen = _taken_apart([text], config)
            for said in chosen.dbt:
                if said in opened.selected.unreadable:
                    why = opened.selected.unreadable[said]
                    raise SelectionError(f"dbt cannot read the selection {said!r}: {why}")
            ids = {id for said in chosen.dbt for id in resolved.get(said, frozenset())}
            if not ids and text in config.steps:
                ids = {config.steps[text].id}
            ids |= _producers(ids, config, resolved)
            ids |= {config.steps[name].id for name in chosen.steps | chosen.reached}
            ids |= _checks(chosen.checks, graph)
            inside = ids & graph.nodes.keys()
            if not inside:
                raise SelectionError(_no_match(earlier, text, ids, graph))
            found |= inside
        return frozenset(found)


def latest_record(
    store: Store, run_id: str, request: RetryRequest, known: dict[str, Any]
) -> RunRecord:
    """The run as it is now that nobody else drives it; ``known`` is told what its steps returned.

    Another supervisor may have driven it until a moment ago.
    """
    earlier = read_run(store, run_id)
    request.check(earlier)
    known.clear()
    known.update(outputs(earlier))
    return earlier


def changed_files(resumed: ResumePlan) -> list[str]:
    """What changed since it succeeded, in one text; none when nothing has."""
    if not resumed.changed:
        return []
    reasons = {change.node_id: change.reason for change in resumed.changes}
    whole = dict.fromkeys(reasons[id].text for id in resumed.changed)
    return [f"changed since it succeeded: {_listed(whole)}"]


def notes(resumed: ResumePlan, earlier: RunRecord) -> list[str]:
    """What a person should know of how a run goes on."""
    found = []
    for text in changed_files(resumed):
        kinds = [change.reason.kind for change in resumed.changes]
        follow = kinds.count(ReasonKind.UPSTREAM_RUNS_AGAIN)
        after = f", and {follow} after it" if follow else ""
        found.append(f"{text}; runs again{after}")
    dropped = _with_reason(resumed, ReasonKind.RELATION_GONE)
    if dropped:
        found.append(f"no relation is there any more of {_listed(dropped)}; runs again")
    if resumed.gone:
        found.append(f"no longer part of the run: {_listed(resumed.gone)}")
    if resumed.blocked:
        why = next(iter(resumed.blocked.values()))
        found.append(f"stays as it is behind {why}, which failed: {_listed(resumed.blocked)}")
    lost = sum(bool(change.outcome and change.outcome.lost) for change in resumed.changes)
    if lost:
        found.append(
            f"{lost} attempt{'s' * (lost > 1)} lost: the process of the run"
            f" (pid {earlier.pid} on {earlier.host}) was gone"
        )
    return found


def _with_reason(resumed: ResumePlan, kind: ReasonKind) -> list[str]:
    return [change.node_id for change in resumed.changes if change.reason.kind is kind]


def _refuse_other_code(earlier: RunRecord, graph: Graph) -> None:
    found = differences(earlier, graph)
    if found:
        raise UsageError(
            f"the code is not what run {earlier.run_id} used: {_listed(found)}; without"
            " --same-code the retry goes on with it as it is now"
        )


def _refuse_another_state(earlier: RunRecord, resumed: ResumePlan, opened: OpenedPlan) -> None:
    """Raise `UsageError` where a state selects less by now than it did, and a failure is left."""
    there = {node.id for node in opened.selected.nodes}
    left = [id for id in resumed.gone if id in there]
    if left and selects_by_state(earlier.options):
        raise UsageError(
            f"run {earlier.run_id} is not over for {_listed(left)}, which the state it was compared"
            " with no longer selects, and the copy of that state is not here: go on where the run"
            f" was started, or run it with `dbtorch run --select {left[0].split('.')[2]}`"
        )


def _producers(ids: set[str], config: Config, resolved: Mapping[str, frozenset[str]]) -> set[str]:
    """Steps that come along with the sources they produce, as in `dbtorch run --select`."""
    return {
        spec.id
        for spec in config.steps.values()
        if any(ids & resolved.get(text, frozenset()) for text in spec.produces)
    }


def _is_printed(text: str) -> bool:
    """Whether a text is a node as it is printed: its kind and its name."""
    kind, _, name = text.partition(" ")
    return bool(name) and kind in [*Kind]


def _taken_apart(texts: Sequence[str], config: Config) -> Chosen:
    return take_apart(texts, config.steps)


def _checks(patterns: Iterable[str], graph: Graph) -> set[str]:
    """Checks of the run, by the names of what they look at."""
    return {
        node.id
        for node in graph.nodes.values()
        if node.kind is Kind.CHECK and any(fnmatchcase(node.name, one) for one in patterns)
    }


def _no_match(earlier: RunRecord, text: str, ids: set[str], graph: Graph) -> str:
    if ids:
        return f"{_listed(sorted(ids))} is no part of run {earlier.run_id} (--select {text})"
    names = [node.name for node in graph.nodes.values()]
    ours = (Kind.STEP, Kind.CHECK)
    names += [f"{node.kind}:{node.name}" for node in graph.nodes.values() if node.kind in ours]
    near = did_you_mean(text, names, most=3, quote="")
    return f"{text!r} matches nothing in run {earlier.run_id}{near}"


def _listed(texts: Iterable[str]) -> str:
    all = list(texts)
    more = f" and {len(all) - _NAMED} more" if len(all) > _NAMED else ""
    return ", ".join(all[:_NAMED]) + more
