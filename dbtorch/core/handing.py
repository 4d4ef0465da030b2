"""What has been handed out, in which batch, and the slots that it occupies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dbtorch.core.events import Attempt, Batch
from dbtorch.core.ready import Slots


@dataclass(slots=True)
class _Given:
    """A batch in somebody's hands."""

    batch: Batch
    members: frozenset[str]
    left: set[str]  # what it has not reported
    slots: Mapping[str, int]
    ends: bool  # it says itself when it is over, and has its slots until then


class Handing:
    """Batches in somebody's hands."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._count = 0
        self._given: dict[int, _Given] = {}
        self._batch_of: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._given)

    def give(self, attempts: Iterable[Attempt], slots: Mapping[str, int], *, ends: bool) -> Batch:
        """Make a batch. It has taken its slots, once for all of its nodes.

        One that ``ends`` keeps them until it is over, any other until its nodes are.
        """
        self._count += 1
        batch = Batch(self._count, tuple(attempts))
        members = frozenset(attempt.node_id for attempt in batch.attempts)
        self._given[batch.id] = _Given(batch, members, set(members), slots, ends)
        self._batch_of.update(dict.fromkeys(members, batch.id))
        return batch

    def take_back(self, id: str) -> frozenset[str]:
        """A node is in nobody's hands any more; answers what was in its batch."""
        given = self._given[self._batch_of.pop(id)]
        given.left.discard(id)
        if not given.left and not given.ends:
            self._over(given)
        return given.members

    def left(self, batch: Batch) -> list[Attempt]:
        """What a batch has not reported."""
        given = self._given.get(batch.id)
        return [a for a in batch.attempts if given is not None and a.node_id in given.left]

    def end(self, batch: Batch) -> None:
        """The batch is over."""
        given = self._given.get(batch.id)
        if given is not None:
            self._over(given)

    def _over(self, given: _Given) -> None:
        del self._given[given.batch.id]
        self._slots.put_back(given.slots)
