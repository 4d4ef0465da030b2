"""One connection to a database, shared by the threads of a supervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from dbtorch.core.errors import StoreError, StoreUnreachable

T = TypeVar("T")
P = ParamSpec("P")

Row = Mapping[str, Any]

#: Seconds within which what may pass is tried again: a server that restarts takes a while, and so
#: does who has locked a table. With the last try it is less than what a lease goes without renewal
#: before its run is ended.
PATIENCE = 20.0
_LONGEST_PAUSE = 4.0

#: Seconds that closing waits for what is under way.
_CLOSING = 2.0


class Driver(Protocol):
    """Where one kind of database differs from the other."""

    @property
    def name(self) -> str:
        """The path or the address, without a password, as a person may read it."""

    @property
    def error(self) -> type[Exception]:
        """What the driver raises for everything that goes wrong in the database."""

    @property
    def begin_read(self) -> str:
        """Statement that opens a transaction in which all reads see the same state."""

    @property
    def begin_write(self) -> str:
        """Statement that opens a transaction that writes."""

    @property
    def lock_rows(self) -> str:
        """What follows a query whose rows are to stay as they are until its transaction ends."""

    @property
    def concatenate(self) -> str:
        """Function that makes one text of those of many rows, with another in between."""

    @property
    def now(self) -> str:
        """Expression for the time that the database's clock shows, as the store writes times."""

    @property
    def has_table(self) -> str:
        """Query that finds a row when the table ``:name`` exists."""

    @property
    def lock_schema(self) -> str | None:
        """Statement that makes other migrations wait; None if ``begin_write`` does already."""

    @property
    def waits_for_others(self) -> bool:
        """Whether a statement may stand still for what others do to one table, or for a network."""

    @property
    def settle(self) -> Callable[[], None] | None:
        """Does, beside others that read and write, most of what closing takes its time for."""

    def connect(self) -> Any:
        """A DB-API connection that leaves transactions to us. Raises `StoreError`."""

    def sql(self, text: str) -> str:
        """Statement with ``:name`` parameters in the driver's own notation."""

    @property
    def take_time(self) -> str | None:
        """Statement for a transaction that may take long; None where any may."""

    def moved(self) -> bool:
        """Whether the database that is open is no more the one that it is found by."""

    def passes(self, error: Exception) -> bool:
        """Whether the same may go through in a moment: somebody was in the way."""

    def explain(self, error: Exception) -> str:
        """One sentence: what is wrong with which database, and what to do."""

    def lost(self, connection: Any) -> bool:
        """Whether this connection is gone for good, so that a new one may help."""


class Transaction:
    """What may be done inside a transaction."""

    __slots__ = ("_cursor", "_now", "_sql")

    def __init__(self, cursor: Any, driver: Driver) -> None:
        self._cursor = cursor
        self._sql = driver.sql
        self._now = driver.now

    def run(self, text: str, values: Mapping[str, Any] | None = None) -> int:
        """Execute a statement; answers how many rows it touched."""
        self._cursor.execute(self._sql(text), values or {})
        return int(self._cursor.rowcount)

    def many(self, text: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute a statement for each row, in order."""
        if rows:
            self._cursor.executemany(self._sql(text), rows)

    def all(self, text: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Every row a query finds."""
        self._cursor.execute(self._sql(text), values or {})
        found: list[Row] = self._cursor.fetchall()
        return found

    def one(self, text: str, values: Mapping[str, Any] | None = None) -> Row | None:
        """The first row a query finds."""
        found = self.all(text, values)
        return found[0] if found else None

    def now(self) -> datetime:
        """What the database's clock shows, which is the same for all that ask it."""
        self._cursor.execute(f"SELECT {self._now} AS now")
        return datetime.fromisoformat(self._cursor.fetchall()[0]["now"])


class Database:
    """Runs transactions, one at a time whatever thread asks, and gets a lost connection back."""

    def __init__(self, driver: Driver, *, patience: float = PATIENCE) -> None:
        """Connect. ``patience`` is for how many seconds what may pass is tried again.

        Raises `StoreError`.
        """
        self.driver = driver
        self._patience = patience
        self._lock = threading.RLock()
        self._connection: Any = driver.connect()
        self._settling: threading.Thread | None = None
        self._apart: list[Database] = []
        self._lost = False  # the connection, so that another one is to be made

    def apart(self, *, patience: float = PATIENCE) -> Database:
        """The same over a connection of its own, closed with this one, where that is of use."""
        if not self.driver.waits_for_others:
            return self
        self._apart.append(Database(self.driver, patience=patience))
        return self._apart[-1]

    def read(
        self, work: Callable[Concatenate[Transaction, P], T], *about: P.args, **more: P.kwargs
    ) -> T:
        """Answer what ``work`` reads; all of it from one state of the database."""
        return self._transact(self.driver.begin_read, work, *about, **more)

    def write(
        self, work: Callable[Concatenate[Transaction, P], T], *about: P.args, **more: P.kwargs
    ) -> T:
        """Commit what ``work`` writes, or nothing. It may be called again on a new connection."""
        return self._transact(self.driver.begin_write, work, *about, **more)

    def settle(self) -> None:
        """Begin, beside the caller, with what closing would take its time for."""
        settle, under_way = self.driver.settle, self._settling
        if settle is None or (under_way is not None and under_way.is_alive()):
            return
        self._settling = threading.Thread(target=settle, name="dbtorch-settle", daemon=True)
        self._settling.start()

    def close(self) -> None:
        """Close the connection; closing twice changes nothing."""
        for database in self._apart:
            database.close()
        if self._settling is not None:
            self._settling.join()
        if not self._lock.acquire(timeout=_CLOSING):
            return  # something is stuck in it, and ends with the process
        try:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(self.driver.error):
                    connection.close()
        finally:
            self._lock.release()

    def _transact(
        self,
        begin: str,
        work: Callable[Concatenate[Transaction, P], T],
        *about: P.args,
        **more: P.kwargs,
    ) -> T:
        with self._lock:
            if self._connection is None:
                raise StoreError(f"{self.driver.name} was closed already")
            until, pause = time.monotonic() + self._patience, 0.0
            while True:
                try:
                    self._lost = self._lost or self.driver.moved()
                    self._connect_again()
                    return self._once(begin, work, *about, **more)
                except _MayPassError as error:
                    if time.monotonic() + pause >= until:
                        raise error.told from error
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2 or 0.25)

    def _once(
        self,
        begin: str,
        work: Callable[Concatenate[Transaction, P], T],
        *about: P.args,
        **more: P.kwargs,
    ) -> T:
        connection = self._connection
        committing = False
        try:
            cursor = connection.cursor()
            cursor.execute(begin)
            result = work(Transaction(cursor, self.driver), *about, **more)
            committing = True
            cursor.execute("COMMIT")
        except self.driver.error as error:
            self._roll_back(connection)
            self._lost = self.driver.lost(connection)
            passes = self._lost or self.driver.passes(error)
            told = (StoreUnreachable if passes else StoreError)(self.driver.explain(error))
            # A COMMIT without an answer may have happened: doing it again could write twice.
            if passes and not committing:
                raise _MayPassError(told) from error
            raise told from error
        except DamagedError as error:
            self._roll_back(connection)
            raise StoreError(
                f"the run history in {self.driver.name} is damaged: {error}; put back what was"
                " there, or delete it"
            ) from error
        except BaseException:
            self._roll_back(connection)
            raise
        return result

    def _roll_back(self, connection: Any) -> None:
        with suppress(self.driver.error):  # there may be no transaction, or no connection
            connection.execute("ROLLBACK")

    def _connect_again(self) -> None:
        """A new connection in the place of one that is lost."""
        if not self._lost:
            return
        with suppress(self.driver.error):
            self._connection.close()
        try:
            self._connection = self.driver.connect()
        except StoreError as error:
            raise _MayPassError(error) from error
        self._lost = False


class DamagedError(Exception):
    """A row holds what no dbtorch has written; the text says which, and what."""


class _MayPassError(Exception):
    """Nothing was committed, and the same may go through in a moment."""

    def __init__(self, told: StoreError) -> None:
        self.told = told
        super().__init__(str(told))
