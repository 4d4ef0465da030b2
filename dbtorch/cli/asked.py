"""What is asked of a run that goes on, and what a person should know of how it does."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dbtorch.app.resume import Resumption, Wish, differences, outputs, resume
from dbtorch.cli.errors import UsageError
from dbtorch.cli.history.lookup import find_node, read_run
from dbtorch.cli.opening import Opening
from dbtorch.core.config import Config
from dbtorch.core.graph import Graph, Kind
from dbtorch.core.history import RunRecord, Verb
from dbtorch.core.state import RunState
from dbtorch.ports import Store

_STEP = "step:"
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks of a run that goes on."""

    verb: Verb
    start_from: tuple[str, ...] = ()  # nodes, by their names
    select: tuple[str, ...] = ()  # dbt's selection, or step:<name>
    exclude: tuple[str, ...] = ()
    same_code: bool = False
    reason: str = ""

    def check(self, earlier: RunRecord) -> None:
        """Raise `UsageError` when there is nothing to do, or a node is none of the run's."""
        for text in self.start_from:
            find_node(earlier, text)
        done = earlier.state is RunState.SUCCESS and not earlier.gated
        if done and self.verb is Verb.RETRY and not self.start_from:
            raise UsageError(
                f"run {earlier.run_id} succeeded; there is nothing to retry"
                f" (`dbtorch rerun {earlier.run_id} --select …` runs a part of it again)"
            )

    def texts(self) -> tuple[str, ...]:
        """Selections that dbt has to read."""
        return tuple(text for text in (*self.select, *self.exclude) if not text.startswith(_STEP))

    def go_on(
        self, earlier: RunRecord, opening: Opening, config: Config, now: datetime
    ) -> Resumption:
        """What stays and what runs again. Raises `UsageError` where that is not what was meant."""
        plan = opening.planned.plan
        if self.same_code:
            _refuse_other_code(earlier, plan.graph)
        resumed = resume(earlier, plan, self._wish(earlier, opening, config), now)
        asked = self._ids(earlier, opening, config, self.select)
        if self.select and asked and not (asked - resumed.blocked.keys()):
            id, barrier = next(iter(resumed.blocked.items()))
            raise UsageError(
                f"{id} cannot run behind {barrier}, which failed: select that too, mend it with"
                " `dbtorch retry`, or mark it"
            )
        return resumed

    def told(self, resumed: Resumption) -> str:
        """What was asked, for the history."""
        parts = [f"--from {text}" for text in self.start_from]
        parts += [f"--select {text}" for text in self.select]
        parts += [f"--exclude {text}" for text in self.exclude]
        words = [self.reason, " ".join(parts), *changed_files(resumed)]
        return "; ".join(filter(None, words))

    def _wish(self, earlier: RunRecord, opening: Opening, config: Config) -> Wish:
        if self.verb is Verb.RETRY:
            ids = {find_node(earlier, text).id for text in self.start_from}
            gone = sorted(ids - opening.planned.plan.graph.nodes.keys())
            if gone:
                raise UsageError(f"{gone[0]} is no longer part of the project's run")
            return Wish(again=frozenset(ids), why="asked for: retry --from")
        return Wish(
            again=self._ids(earlier, opening, config, self.select),
            never=self._ids(earlier, opening, config, self.exclude),
            nothing_else=True,
            why="asked for: rerun",
        )

    def _ids(
        self, earlier: RunRecord, opening: Opening, config: Config, texts: Sequence[str]
    ) -> frozenset[str]:
        """Nodes of the plan that selections come to. Raises `UsageError` for one without any."""
        graph = opening.planned.plan.graph
        found: set[str] = set()
        for text in texts:
            if text in opening.selected.unreadable:
                why = opening.selected.unreadable[text]
                raise UsageError(f"dbt cannot read the selection {text!r}: {why}")
            ids = set(opening.selected.resolved.get(text, frozenset()))
            name = text.removeprefix(_STEP)
            if not ids and name in config.steps:
                ids = {config.steps[name].id}
            ids |= _producers(ids, config, opening.selected.resolved)
            inside = ids & graph.nodes.keys()
            if not inside:
                raise UsageError(_no_match(earlier, text, ids, graph))
            found |= inside
        return frozenset(found)


def latest_record(store: Store, run_id: str, asked: Asked, known: dict[str, Any]) -> RunRecord:
    """The run as it is now that nobody else drives it; ``known`` is told what its steps returned.

    Another supervisor may have driven it until a moment ago.
    """
    earlier = read_run(store, run_id)
    asked.check(earlier)
    known.clear()
    known.update(outputs(earlier))
    return earlier


def changed_files(resumed: Resumption) -> list[str]:
    """What changed since it succeeded, in one text; none when nothing has."""
    if not resumed.changed:
        return []
    reasons = {change.node_id: change.reason for change in resumed.changes}
    whole = dict.fromkeys(reasons[id].partition(": ")[2] for id in resumed.changed)
    return [f"changed since it succeeded: {_listed(whole)}"]


def notes(resumed: Resumption, earlier: RunRecord) -> list[str]:
    """What a person should know of how a run goes on."""
    found = []
    for text in changed_files(resumed):
        follow = sum(change.reason.endswith(" runs again") for change in resumed.changes)
        after = f", and {follow} after it" if follow else ""
        found.append(f"{text}; runs again{after}")
    if resumed.gone:
        found.append(f"no longer part of the run, left as it is: {_listed(resumed.gone)}")
    if resumed.blocked:
        why = next(iter(resumed.blocked.values()))
        found.append(f"stays as it is behind {why}, which failed: {_listed(resumed.blocked)}")
    lost = sum(bool(change.outcome and change.outcome.lost) for change in resumed.changes)
    if lost:
        found.append(
            f"{lost} attempt{'s' * (lost > 1)} lost: the supervisor"
            f" (pid {earlier.pid} on {earlier.host}) was gone"
        )
    return found


def _refuse_other_code(earlier: RunRecord, graph: Graph) -> None:
    found = differences(earlier, graph)
    if found:
        raise UsageError(
            f"the code is not what run {earlier.run_id} used: {_listed(found)}; without"
            " --same-code the retry goes on with it as it is now"
        )


def _producers(ids: set[str], config: Config, resolved: Mapping[str, frozenset[str]]) -> set[str]:
    """Steps that come along with the sources they produce, as in `dbtorch run --select`."""
    return {
        spec.id
        for spec in config.steps.values()
        if any(ids & resolved.get(text, frozenset()) for text in spec.produces)
    }


def _no_match(earlier: RunRecord, text: str, ids: set[str], graph: Graph) -> str:
    if ids:
        return f"{_listed(sorted(ids))} is no part of run {earlier.run_id} (--select {text})"
    names = [node.name for node in graph.nodes.values()]
    names += [f"{_STEP}{node.name}" for node in graph.nodes.values() if node.kind is Kind.STEP]
    near = difflib.get_close_matches(text, names, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{text!r} matches nothing in run {earlier.run_id}{hint}"


def _listed(texts: Iterable[str]) -> str:
    all = list(texts)
    more = f" and {len(all) - _NAMED} more" if len(all) > _NAMED else ""
    return ", ".join(all[:_NAMED]) + more
