"""What has been handed out, in which batch, and the slots that it occupies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dbtorch.core.model.events import Attempt, Batch
from dbtorch.core.plan import THREADS
from dbtorch.core.run.slots import Slots


@dataclass(slots=True)
class _Given:
    """A batch in somebody's hands."""

    batch: Batch
    members: frozenset[str]
    left: set[str]  # what it has not reported
    slots: dict[str, int]
    lines: Mapping[str, int] = field(default_factory=dict)  # of nodes in the hands of a dbt
    open: Counter[int] = field(default_factory=Counter)  # nodes left of each line
    splits: set[str] = field(default_factory=set)  # nodes left that may use every thread

    @property
    def ends(self) -> bool:
        """Whether it says itself when it is over, and has its slots until then."""
        return bool(self.lines)

    def needed(self) -> int:
        """Threads that it can still use; one as long as its process lives."""
        return self.slots[THREADS] if self.splits else max(1, len(self.open))


class InFlight:
    """Batches in somebody's hands."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._count = 0
        self._given: dict[int, _Given] = {}
        self._batch_of: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._given)

    def give(self, attempts: Iterable[Attempt], slots: Mapping[str, int]) -> Batch:
        """Make a batch; its slots are taken, once for all of its nodes, until they have ended."""
        return self._give(attempts, slots, None).batch

    def give_dbt(
        self,
        attempts: Iterable[Attempt],
        slots: Mapping[str, int],
        lines: Mapping[str, int],
        splits: Iterable[str],
        *,
        reserved: int,
    ) -> Batch:
        """Make a batch for a process of its own, which has its slots until that is over.

        Of the threads that are free it takes one for each line (all if it ``splits`` nodes), but
        for those ``reserved`` to others, half of them at most, and puts back what it can no longer
        use.
        """
        free = self._slots.free(THREADS)
        spare = free - min(reserved, free // 2)
        threads = 1 + spare
        everything = threads == self._slots.size(THREADS)
        given = self._give(attempts, slots, None if everything else threads)
        given.lines, given.open, given.splits = lines, Counter(lines.values()), set(splits)
        more = spare if given.splits else min(spare, len(given.open) - 1)
        self._slots.take({THREADS: more})
        given.slots[THREADS] += more
        return given.batch

    def _give(
        self, attempts: Iterable[Attempt], slots: Mapping[str, int], threads: int | None
    ) -> _Given:
        self._count += 1
        batch = Batch(self._count, tuple(attempts), threads)
        members = frozenset(attempt.node_id for attempt in batch.attempts)
        given = self._given[batch.id] = _Given(batch, members, set(members), dict(slots))
        self._batch_of.update(dict.fromkeys(members, batch.id))
        return given

    def take_back(self, id: str) -> frozenset[str]:
        """A node is in nobody's hands any more; answers what was in its batch."""
        given = self._given[self._batch_of.pop(id)]
        given.left.discard(id)
        if given.ends:
            self._narrow(given, id)
        elif not given.left:
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

    def _narrow(self, given: _Given, id: str) -> None:
        """Put back the threads that are of no more use without a node."""
        line = given.lines[id]
        given.open[line] -= 1
        if not given.open[line]:
            del given.open[line]
        given.splits.discard(id)
        spare = given.slots[THREADS] - given.needed()
        if spare > 0:
            self._slots.put_back({THREADS: spare})
            given.slots[THREADS] -= spare

    def _over(self, given: _Given) -> None:
        del self._given[given.batch.id]
        self._slots.put_back(given.slots)
