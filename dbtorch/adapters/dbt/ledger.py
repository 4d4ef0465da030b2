"""What a worker's replacement must know of the run, for complete artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dbtorch.adapters.dbt.worker_process import Message
from dbtorch.core.events import Changed
from dbtorch.core.state import State


class Ledger:
    """The last result of each node, the nodes that were left out, and the hooks that ran."""

    def __init__(self) -> None:
        self.hooks_done: list[str] = []
        self._results: dict[str, Message] = {}
        self._skips: dict[str, Message] = {}

    def adopt(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over the results of an earlier stretch of the same run."""
        for id, result in results.items():
            self.ended(id, result)

    def ended(self, id: str, result: Mapping[str, Any]) -> None:
        """An attempt came to this."""
        self._results[id] = {**result, "node": id}

    def hook_ended(self, id: str, result: Message) -> None:
        """A hook came to this; it does not run again."""
        self.hooks_done.append(id)
        self.ended(id, result)

    def lost(self, id: str, why: str) -> None:
        """An attempt ended with its worker; should it be the last one, artifacts say so."""
        batches = self._results.get(id, {}).get("batch_results")
        self.ended(id, {"status": "error", "message": why, "batch_results": batches})

    def skipped(self, change: Changed) -> Message:
        """Note a node that does not run; answers how to tell dbt."""
        why = ""
        if change.state is State.SKIPPED:
            because = self._skips.get(change.cause, {})
            told = not change.cause or change.cause.startswith("source.")  # a gate says it all
            why = change.reason if told else because.get("message", "")
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

    def batches_to_go_on_from(self, id: str) -> Message | None:
        """Batches of a microbatch model's last attempt, if only some of them failed."""
        batches: Message = self._results.get(id, {}).get("batch_results") or {}
        return batches if batches.get("successful") and batches.get("failed") else None
