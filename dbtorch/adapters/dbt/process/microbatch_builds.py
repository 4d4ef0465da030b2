"""Microbatch models from one build to the next: what is left of each, and what nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dbtorch.adapters.dbt.microbatches import LEFT_OUT, Microbatches, not_again
from dbtorch.adapters.dbt.process.build import Build
from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.project.window import end_of_window, unknown, window_of
from dbtorch.core.model.events import (
    NOTHING_EXECUTED,
    MicrobatchBuilt,
    MicrobatchesPlanned,
    Outcome,
    Report,
    Window,
)
from dbtorch.core.model.graph import Graph


class MicrobatchBuilds:
    """What builds are told of them; not safe from several threads at once."""

    def __init__(self, words: DbtArgs, environ: Mapping[str, str]) -> None:
        self._words = words
        self._environ = environ
        self._graph = Graph([], [])
        self._ends_windows_now = False
        self._batches = Microbatches()
        self._unsettled: set[str] = set()  # models of which a part may be built
        self._refused: dict[str, Outcome] = {}  # those of which nobody knows which part

    def know(self, graph: Graph, words: DbtArgs, *, ends_windows_now: bool) -> None:
        """Take over the nodes to build, and how; whether dbt ends windows when it comes to them."""
        self._graph, self._words, self._ends_windows_now = graph, words, ends_windows_now

    def adopt(
        self, batches: Mapping[str, Mapping[Window, bool]], unsettled: Collection[str]
    ) -> None:
        """Take over what earlier executions of the run have planned, and built or not."""
        self._batches.adopt(batches)
        self._unsettled = set(unsettled)

    def note(self, event: Report) -> None:
        """Take note of what a build says that it plans and has built."""
        if isinstance(event, MicrobatchesPlanned):
            self._batches.planned(event.attempt.node_id, event.windows)
        elif isinstance(event, MicrobatchBuilt):
            self._batches.built(event.attempt.node_id, event.window)

    def left(self, ids: Sequence[str]) -> dict[str, str]:
        """What says of a build which batches of a model are left, where some were planned."""
        if not any(id in self._batches for id in ids):
            return {}
        return window_of(ids, self._graph, self._batches, self._words, self._environ)

    def not_again(
        self, ids: Sequence[str], results: Callable[[], Mapping[str, Mapping[str, Any]]]
    ) -> dict[str, Outcome]:
        """What dbt would build in part, and say that it is done; and what comes after that.

        ``results`` answers dbt's of the run so far.
        """
        found = unknown(ids, self._graph, self._unsettled, self._words, self._environ)
        known = results() if found else {}
        for id in found:
            before = str(known.get(id, {}).get("message") or "")
            self._refused.setdefault(id, not_again(self._graph.nodes[id].name, before))
        after = {id for first in found for id in self._graph.descendants(first)}
        left_out = dict.fromkeys(sorted(after.intersection(ids)), LEFT_OUT)
        return {**left_out, **{id: self._refused[id] for id in found}}

    def begin(self, ids: Sequence[str]) -> set[str]:
        """These are built; answers those among them that are built for the first time."""
        new = {id for id in ids if self._graph.nodes[id].splits} - self._unsettled
        self._unsettled |= new
        return new

    def settle(self, build: Build, new: Collection[str]) -> None:
        """What was built as a whole, or never begun, may be built as for the first time."""
        for id, outcome in build.results.items():
            if outcome.state.ok or (id in new and outcome.details.get(NOTHING_EXECUTED)):
                self._unsettled.discard(id)
        self._unsettled -= set(new) - build.begun

    def window(self, ids: Sequence[str]) -> dict[str, str]:
        """What says of a build where its windows end, if dbt 2 would end them elsewhere by now."""
        if not self._ends_windows_now or not any(self._graph.nodes[id].splits for id in ids):
            return {}
        return end_of_window(self._words, self._environ, datetime.now(UTC))
