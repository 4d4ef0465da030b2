"""The in-memory double of the part of the store that keeps messages and lasting failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from dbtorch.core.alerts.incidents import Incident
from dbtorch.core.alerts.outbox import Delivery, Entry, EntryKind
from dbtorch.core.model.identity import Identity

_Name = tuple[str, str, str, str]  # project, notifier, address, key

#: Whose history it is where there is one project only.
ANYBODY = Identity()


class MemoryOutbox:
    """Implements `Outbox` and forgets everything with the process."""

    def __init__(self, identity: Identity = ANYBODY) -> None:
        self.identity = identity
        self._outbox_lock = threading.RLock()
        self._messages: dict[_Name, Delivery] = {}
        self._incidents: dict[tuple[str, str, str, str], Incident] = {}  # by project and place

    def alert(
        self, entries: Sequence[Entry], incidents: Sequence[Incident] = (), *, at: datetime
    ) -> None:
        """Keep messages to be sent, and what is known of failures."""
        with self._outbox_lock:
            for entry in entries:
                self._put(replace(entry, body=_json(entry.body)), at)
            for one in incidents:
                place = self.identity.place(one.target)
                name = (self.identity.project_id, place, one.pipeline, one.node_id)
                self._incidents[name] = replace(one, project=self.identity.name)

    def _forget_messages(self, run_ids: Collection[str], before: datetime) -> None:
        """Remove messages of runs, and failures that ended before a time."""
        mine = self.identity.project_id
        with self._outbox_lock:
            for name, one in list(self._messages.items()):
                if name[0] == mine and one.entry.run_id in run_ids:
                    del self._messages[name]
            for place, failure in list(self._incidents.items()):
                if place[0] == mine and failure.closed_at and failure.closed_at < before:
                    del self._incidents[place]

    def incidents(self, target: str, pipeline: str) -> list[Incident]:
        """Failures of a pipeline that go on."""
        series = (self.identity.project_id, self.identity.place(target), pipeline)
        with self._outbox_lock:
            found = [
                one
                for name, one in self._incidents.items()
                if name[:3] == series and one.closed_at is None
            ]
        return sorted(found, key=lambda one: (one.opened_at, one.node_id))

    def outbox(self, *, run_id: str | None = None, pending: bool = False) -> list[Delivery]:
        """Messages in the order they were written."""
        with self._outbox_lock:
            return [
                one
                for name, one in self._messages.items()
                if name[0] == self.identity.project_id
                and run_id in (None, one.entry.run_id)
                and (one.pending or not pending)
            ]

    def message(self, notifier: str, address: str, key: str) -> Delivery | None:
        """One message; None when there is none."""
        with self._outbox_lock:
            return self._messages.get((self.identity.project_id, notifier, address, key))

    def claim(
        self, notifier: str, *, now: datetime, until: datetime, due: datetime, since: datetime
    ) -> Delivery | None:
        """The next message to send, which nobody else will send until then; None for none."""
        with self._outbox_lock:
            for name, one in self._messages.items():
                free = one.claimed_until is None or one.claimed_until <= now
                ready = one.next_try_at is None or one.next_try_at <= due
                mine = name[:2] == (self.identity.project_id, notifier)
                mine = mine and one.updated_at >= since
                if one.pending and free and ready and mine and self._begun(one.entry):
                    unsure = one.unsure or one.claimed_until is not None
                    claimed = replace(one, unsure=unsure, claimed_until=until)
                    self._messages[name] = claimed
                    return claimed
        return None

    def hurry(self) -> None:
        """Let everything that waits for its next try be due at once."""
        with self._outbox_lock:
            for name in self._messages:
                if name[0] == self.identity.project_id:
                    self._change(name, next_try_at=None)

    def delivered(self, delivery: Delivery, receipt: Mapping[str, Any], at: datetime) -> None:
        """Write that a version was sent, and where it is."""
        self._change(
            self._name(delivery.entry),
            sent_version=delivery.version,
            sent_at=at,
            receipt=_json(receipt),
            tries=0,
            next_try_at=None,
            error="",
            unsure=False,
            claimed_until=None,
        )

    def not_delivered(
        self, delivery: Delivery, error: str, next_try_at: datetime, *, unsure: bool = False
    ) -> None:
        """Write why it was not sent, and when to try again."""
        kept = self._messages[self._name(delivery.entry)]
        self._change(
            self._name(delivery.entry),
            tries=kept.tries + 1,
            next_try_at=next_try_at,
            error=error,
            unsure=unsure,
            claimed_until=None,
        )

    def _put(self, entry: Entry, at: datetime) -> None:
        known = self._messages.get(self._name(entry))
        if known is None:
            self._messages[self._name(entry)] = Delivery(entry=entry, created_at=at, updated_at=at)
        elif known.entry.kind is EntryKind.CARD and known.entry.body != entry.body:
            self._change(
                self._name(entry),
                entry=replace(known.entry, body=entry.body),
                version=known.version + 1,
                updated_at=at,
            )

    def _begun(self, entry: Entry) -> bool:
        """Whether the message whose thread this is in is there, or will never be."""
        first = self._messages.get(self._name(replace(entry, key=entry.thread)))
        return not entry.thread or first is None or first.sent_version > 0

    def _name(self, entry: Entry) -> _Name:
        return self.identity.project_id, entry.notifier, entry.address, entry.key

    def _change(self, name: _Name, **changed: Any) -> None:
        with self._outbox_lock:
            self._messages[name] = replace(self._messages[name], **changed)


def _json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
