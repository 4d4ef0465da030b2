"""What the worker of a session has in hand: attempts on their way to it, and what it says of them.

Part of the session's protocol, so it does nothing itself either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.microbatches import not_again
from dbtorch.adapters.dbt.session.answers import (
    freshness_of,
    hook_outcome,
    look_of,
    lost,
    outcome_of,
)
from dbtorch.adapters.dbt.session.commands import Command, Emit, EmitPlanned, Send
from dbtorch.adapters.dbt.session.ledger import Ledger
from dbtorch.adapters.dbt.session.messages import Garbled, Message, window_of
from dbtorch.core.model.events import Attempt, Finished, MicrobatchBuilt, Outcome, Started
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.session.open_request import SessionRequest
    from dbtorch.core.checks.relation_checks import RelationChecks

#: What a worker says of an attempt besides what came of it.
_ABOUT = ("node", "attempt", "type")


class Attempts:
    """Attempts that the worker has been given and has not answered. Each is finished once."""

    def __init__(
        self, request: SessionRequest, ledger: Ledger, put: Callable[[Command], None]
    ) -> None:
        self._request = request
        self._ledger = ledger
        self._put = put
        self._in_flight: dict[str, Attempt] = {}
        self._forsaken: set[Attempt] = set()  # finished for us, whatever the worker still says
        self.opening: Attempt | None = None
        self.closing: Attempt | None = None
        self.known: Mapping[str, Any] = {}  # vars and target, for templates
        self.watches: Mapping[str, RelationChecks] = {}  # by the ids of nodes that check a relation
        self.hooks: frozenset[str] = frozenset()  # ids of on-run hooks, of which it may tell
        self.unsettled: frozenset[str] = frozenset()  # models another engine may have built in part

    @property
    def in_hand(self) -> list[Attempt]:
        """What the worker has been given and has not answered."""
        found = [*self._in_flight.values(), self.opening, self.closing]
        return [attempt for attempt in found if attempt is not None]

    @property
    def at_work(self) -> bool:
        """Whether the worker does something, be it for nobody any more."""
        return bool(self.in_hand or self._forsaken)

    def executes(self, attempt: Attempt) -> bool:
        """Whether it is a node's, and under way."""
        return self._in_flight.get(attempt.node_id) == attempt

    def take_back(self) -> list[Attempt]:
        """Everything in hand, which the worker has no longer."""
        found = self.in_hand
        self._in_flight.clear()
        self.opening = self.closing = None
        return found

    # ---------------------------------------------------------------- how they end

    def finish(self, attempt: Attempt, outcome: Outcome) -> None:
        """Report what an attempt came to."""
        self._put(Emit(Finished(attempt, outcome)))

    def lose(self, attempts: Iterable[Attempt], why: str, found: FailureClass) -> None:
        """Report attempts that nobody executes."""
        for attempt in attempts:
            self.finish(attempt, lost(why, found))

    def drop(self, outcome: Outcome) -> None:
        """Report that all in hand came to this, whatever the worker still says of it."""
        dropped = self.take_back()
        self._forsaken.update(dropped)
        for attempt in dropped:
            self.finish(attempt, outcome)

    def forsake(self, attempt: Attempt, why: str) -> None:
        """Leave a node alone that does not end, and let the worker go on without it."""
        self._put(Send("forsake", {"node": attempt.node_id}))
        self._forsaken.add(attempt)
        del self._in_flight[attempt.node_id]
        self._ledger.lost(attempt.node_id, why)
        self.finish(attempt, lost(why))

    def lost_with_worker(self, attempt: Attempt, why: str, *, innocent: bool = False) -> None:
        """Report what was in hand of a worker that is gone; artifacts have to say so, too."""
        if attempt.node_id not in (SESSION_OPEN, SESSION_CLOSE):
            self._ledger.lost(attempt.node_id, why)
        self.finish(attempt, replace(lost(why), innocent=innocent))

    # ---------------------------------------------------------------- to the worker

    def execute(self, attempt: Attempt) -> None:
        """Hand out a node, unless its own condition leaves it out."""
        step = self._request.sql.get(attempt.node_id)
        left_out = step.left_out(self.known) if step is not None else None
        if attempt.node_id in self.unsettled and attempt.node_id not in self._ledger.microbatches:
            left_out = not_again(attempt.node_id.split(".")[2])
            self._ledger.lost(attempt.node_id, left_out.message)
        if left_out is not None:
            self.finish(attempt, left_out)
            return
        self._in_flight[attempt.node_id] = attempt
        self._put(self._order(attempt))

    def _order(self, attempt: Attempt) -> Send:
        """The message that makes the worker execute a node."""
        id = attempt.node_id
        about = {
            "node": id,
            "attempt": attempt.number,
            "batches": self._ledger.batches(id),
        }
        if (watch := self.watches.get(id)) is not None:
            asked = {"relation": watch.relation, "asked": watch.asks()}
            return Send("look", about | asked, attempt)
        if (step := self._request.sql.get(id)) is not None:
            return Send("sql", about | {"sql": step.text, "run": self._request.run}, attempt)
        return Send("freshness" if Kind.of(id) is Kind.SOURCE else "execute", about, attempt)

    def kept(self, attempt: Attempt) -> None:
        """The batches that it has planned are written down; it may build them."""
        if self.executes(attempt):
            self._put(Send("kept", {"node": attempt.node_id, "attempt": attempt.number}))

    # ---------------------------------------------------------------- from the worker

    def started(self, message: Message) -> None:
        """It runs."""
        if (attempt := self._under_way(message)) is not None:
            self._put(Emit(Started(attempt)))

    def planned(self, message: Message) -> None:
        """It is about to build batches, and builds none before that is kept."""
        if (attempt := self._under_way(message)) is not None:
            windows = tuple(map(window_of, message["windows"]))
            self._ledger.microbatches.planned(attempt.node_id, windows)
            self._put(EmitPlanned(attempt, windows))

    def built(self, message: Message) -> None:
        """It has built a batch."""
        if (attempt := self._under_way(message)) is not None:
            window = window_of(message["window"])
            if not self._ledger.microbatches.built(attempt.node_id, window):
                raise Garbled(f"built: {attempt.node_id} has not planned {message['window']}")
            self._put(Emit(MicrobatchBuilt(attempt, window)))

    def finished(self, message: Message) -> bool:
        """It has ended; answers whether anybody waited for it."""
        attempt = self._under_way(message)
        if attempt is None:
            return False
        outcome = self._outcome(attempt.node_id, message)
        del self._in_flight[attempt.node_id]
        self.finish(attempt, outcome)
        return True

    def _outcome(self, id: str, message: Message) -> Outcome:
        said = {key: value for key, value in message.items() if key not in _ABOUT}
        rules = self._request.failure_classes
        if id in self.watches:
            return look_of(id, said, rules)
        outcome = (
            freshness_of(id, said, rules) if Kind.of(id) is Kind.SOURCE else outcome_of(said, rules)
        )
        self._ledger.ended(id, {**outcome.details, "message": outcome.message})
        return outcome

    def hook(self, message: Message) -> None:
        """A hook has ended."""
        id = message.pop("node")
        if id not in self.hooks:
            raise Garbled(f"hook: there is no {id}")
        self._ledger.hook_ended(id, message)
        self.finish(Attempt(id, 1), hook_outcome(message, self._request.failure_classes))

    def _under_way(self, message: Message) -> Attempt | None:
        """The attempt a message is about, None for one that nobody waits for any more.

        Raises `Garbled` when it is none of the worker's.
        """
        attempt = Attempt(message["node"], message["attempt"])
        if attempt in self._forsaken:
            return None
        if not self.executes(attempt):
            what = f"{attempt.node_id} #{attempt.number}"
            raise Garbled(f"{message['type']}: {what} is not under way")
        return attempt
