"""A worker's hold on an attempt: renewed while it runs, and given up in time when it cannot be."""

from __future__ import annotations

import codecs
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from dbtorch.app.lease import ENDED, KILLED
from dbtorch.core.errors import StoreError
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.offer import Offer, Standing
from dbtorch.ports.offers import Offers

log = logging.getLogger(__name__)

#: Seconds between two times that a worker says it is there, and hears whether it is to go on.
EVERY = 1.0

#: How often the time since is looked at in the lifetime of a claim.
_LOOKS = 24

#: Bytes of a log that are handed on at once, and of one attempt in all.
_PIECE, _MOST = 1 << 18, 1 << 24


class Hold:
    """Keeps a claim from a thread of its own; a second one watches by this machine's own clock.

    So an attempt has ended here before the database's clock says that its worker is lost.
    """

    def __init__(
        self,
        store: Offers,
        offer: Offer,
        worker: str,
        lifetime: timedelta,
        log_file: Path,
        *,
        claimed: float,
        every: float = EVERY,
    ) -> None:
        """``claimed`` is when the claim was asked for, by the monotonic clock."""
        self.why = ""  # it is to end, where nobody has asked for that but this worker
        self.called_off = False
        self._store = store
        self._token = offer.token
        self._worker = worker
        self._lifetime = lifetime
        self._cancel: Callable[[], None] = _nothing
        self._kill: Callable[[], None] = _nothing
        self._every = every
        self._kept = claimed
        self._begun = self._told = False
        self._wakes = threading.Event()
        self._done = threading.Event()
        self._log = _Log(store, offer.token, worker, log_file)
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("dbtorch-hold", self._keep), ("dbtorch-hold-watch", self._watch))
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._wakes.set()
        for thread in self._threads:
            thread.join(5)

    @property
    def over(self) -> bool:
        """Whether the attempt is to end, or not to begin."""
        return self.called_off or bool(self.why)

    def may_begin(self) -> bool:
        """Whether the attempt is still this worker's, and wanted, at this very moment."""
        try:
            self._beat()
        except StoreError as error:
            self.why = self.why or f"the history could not be asked before it began ({error})"
        return not self.over

    def ends(self, cancel: Callable[[], None], kill: Callable[[], None]) -> None:
        """From now on ``cancel`` asks what runs to end, and ``kill`` ends it at once."""
        self._cancel, self._kill = cancel, kill

    def began(self) -> None:
        """The process is there; the supervisor is told at once."""
        self._begun = True
        self._wakes.set()

    def end(self, why: str) -> None:
        """Have the attempt end, for a reason that is this worker's."""
        self.why = self.why or why
        self._cancel()

    def report(self, outcome: Outcome) -> bool:
        """Write how it ended; False where it is not this worker's any more."""
        while True:
            try:
                self._log.carry_all()
                return self._store.report(self._token, self._worker, outcome)
            except StoreError as error:
                log.warning("the end of an attempt is not written yet: %s", error)
                if self._alone() >= 1:
                    return False
                time.sleep(self._every)

    def _keep(self) -> None:
        deaf = False
        while not self._done.is_set():
            self._wakes.wait(self._every)
            self._wakes.clear()
            if self._done.is_set():
                return
            try:
                self._beat()
                deaf = False
            except StoreError as error:
                if not deaf:
                    log.warning("the history does not hear of an attempt: %s", error)
                deaf = True

    def _beat(self) -> None:
        asked = time.monotonic()
        standing = self._store.attend(self._token, self._worker, self._lifetime)
        if standing is Standing.TAKEN:
            self.why = "it is another worker's by now"
            self._kill()
            self._done.set()
            return
        self._kept = asked
        if standing is Standing.CALLED_OFF:
            self.called_off = True
            self._cancel()
        if self._begun and not self._told:
            self._store.began(self._token, self._worker)
            self._told = True
        self._log.carry()

    def _alone(self) -> float:
        """Which part of the claim's lifetime has gone by since it was last renewed."""
        return (time.monotonic() - self._kept) / self._lifetime.total_seconds()

    def _watch(self) -> None:
        cancelled = False
        while not self._done.wait(self._lifetime.total_seconds() / _LOOKS):
            alone = self._alone()
            if alone >= KILLED:
                self._kill()
            elif alone >= ENDED and not cancelled:
                cancelled = True
                self.end(f"its worker did not reach the history for {alone:.0%} of its claim")


def _nothing() -> None:
    """Nothing runs yet."""


class _Log:
    """What an attempt puts out, on its way to its supervisor."""

    def __init__(self, store: Offers, token: str, worker: str, file: Path) -> None:
        self._store = store
        self._token = token
        self._worker = worker
        self._file = file
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._place = self._number = 0
        self._unsent = ""

    def carry_all(self) -> None:
        """Hand on what there is."""
        while self.carry():
            pass

    def carry(self) -> bool:
        """Hand on a piece; whether there was one."""
        with self._lock:
            if not self._unsent:
                self._unsent = self._decoder.decode(self._read())
            if not self._unsent:
                return False
            self._store.say(self._token, self._worker, self._number + 1, self._unsent)
            self._number += 1
            self._unsent = ""
            return True

    def _read(self) -> bytes:
        if self._place >= _MOST:
            return b""
        try:
            with self._file.open("rb") as file:
                file.seek(self._place)
                found = file.read(min(_PIECE, _MOST - self._place))
        except OSError:
            return b""
        self._place += len(found)
        if self._place >= _MOST:
            found += f"\n(the rest, after {_MOST:,} bytes, is not handed on)\n".encode()
        return found
