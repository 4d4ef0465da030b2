"""What a worker's replacement must know of the run, to go on with it and for whole artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dbtorch.adapters.dbt.microbatches import Microbatches
from dbtorch.adapters.dbt.session.worker_process import Message
from dbtorch.core.model.events import (
    Changed,
    Window,
)
from dbtorch.core.model.reason import ReasonKind
from dbtorch.core.model.state import State


class Ledger:
    """The last result of each node, batches, the nodes that were left out, hooks that ran."""

    def __init__(self) -> None:
        self.begun = False  # whether a worker has connected, and run the start hooks
        self.hooks_done: list[str] = []
        self._results: dict[str, Message] = {}
        self._skips: dict[str, Message] = {}
        self.microbatches = Microbatches()

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
    ) -> None:
        """Take over what an earlier execution of the same run knew."""
        for id, result in results.items():
            self.ended(id, result)
        self.microbatches.adopt(microbatches)

    def ended(self, id: str, result: Mapping[str, Any]) -> None:
        """An attempt came to this."""
        self._results[id] = {**result, "node": id}

    def hook_ended(self, id: str, result: Message) -> None:
        """A hook came to this; it does not run again."""
        self.hooks_done.append(id)
        self.ended(id, result)

    def lost(self, id: str, why: str) -> None:
        """An attempt ended with its worker; should it be the last one, artifacts say so."""
        batches = self.batches(id)
        self.ended(id, {"status": "error", "message": why, "batch_results": batches})

    def skipped(self, change: Changed) -> Message:
        """Note a node that does not run; answers how to tell dbt."""
        why = ""
        if change.state is State.SKIPPED:
            because = self._skips.get(change.cause, {})
            gated = change.reason.kind is ReasonKind.NOT_FRESH  # which says it all
            why = str(change.reason) if gated or not change.cause else because.get("message", "")
        message = {"node": change.node_id, "because": change.cause, "message": why}
        self._skips[change.node_id] = message
        return message

    def forget_skipped(self) -> None:
        """Another plan goes on; it leaves out others."""
        self._skips.clear()

    def skips(self) -> Iterator[Message]:
        """Nodes that do not run, with what became of the nodes they were left out for."""
        for message in self._skips.values():
            yield {**message, "cause": self._results.get(message["because"])}

    def results(self) -> list[Message]:
        """The last result of every node."""
        return list(self._results.values())

    def batches(self, id: str) -> Message | None:
        """Batches that the run has planned of a model, as dbt has it; None where it has none.

        What is not known to have been built has failed.
        """
        if id not in self.microbatches:
            return None
        return {
            name: [
                [at.isoformat() for at in window]
                for window in self.microbatches.of(id, built=built)
            ]
            for name, built in (("successful", True), ("failed", False))
        }
