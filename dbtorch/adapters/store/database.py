"""One connection to a database, shared by the threads of a supervisor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from dbtorch.ports import StoreError

T = TypeVar("T")

Row = Mapping[str, Any]

#: Seconds before each try to get a lost connection back: a server that restarts takes a while.
RECONNECT_AFTER = (0.0, 1.0, 2.0, 4.0, 8.0)


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
    def has_table(self) -> str:
        """Query that finds a row when the table ``:name`` exists."""

    @property
    def lock_schema(self) -> str | None:
        """Statement that makes other migrations wait; None if ``begin_write`` does already."""

    @property
    def settle(self) -> Callable[[], None] | None:
        """Does, beside others that read and write, most of what closing takes its time for."""

    def connect(self) -> Any:
        """A DB-API connection that leaves transactions to us. Raises `StoreError`."""

    def sql(self, text: str) -> str:
        """Statement with ``:name`` parameters in the driver's own notation."""

    def explain(self, error: Exception) -> str:
        """One sentence: what is wrong with which database, and what to do."""

    def lost(self, connection: Any) -> bool:
        """Whether this connection is gone for good, so that a new one may help."""


class Transaction:
    """What may be done inside a transaction."""

    __slots__ = ("_cursor", "_sql")

    def __init__(self, cursor: Any, sql: Callable[[str], str]) -> None:
        self._cursor = cursor
        self._sql = sql

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


class Database:
    """Runs transactions, one at a time whatever thread asks, and gets a lost connection back."""

    def __init__(self, driver: Driver) -> None:
        """Connect. Raises `StoreError`."""
        self.driver = driver
        self._lock = threading.RLock()
        self._connection: Any = driver.connect()
        self._settling: threading.Thread | None = None

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Answer what ``work`` reads; all of it from one state of the database."""
        return self._transact(self.driver.begin_read, work)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Commit what ``work`` writes, or nothing. It may be called again on a new connection."""
        return self._transact(self.driver.begin_write, work)

    def settle(self) -> None:
        """Begin, beside the caller, with what closing would take its time for."""
        settle, under_way = self.driver.settle, self._settling
        if settle is None or (under_way is not None and under_way.is_alive()):
            return
        self._settling = threading.Thread(target=settle, name="dbtorch-settle", daemon=True)
        self._settling.start()

    def close(self) -> None:
        """Close the connection; closing twice changes nothing."""
        if self._settling is not None:
            self._settling.join()
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(self.driver.error):
                    connection.close()

    def _transact(self, begin: str, work: Callable[[Transaction], T]) -> T:
        with self._lock:
            if self._connection is None:
                raise StoreError(f"{self.driver.name} was closed already")
            try:
                try:
                    return self._once(begin, work)
                except _LostError:
                    self._reconnect()
                    return self._once(begin, work)
            except _LostError as lost:
                raise StoreError(self.driver.explain(lost.error)) from lost.error
            except self.driver.error as error:
                raise StoreError(self.driver.explain(error)) from error

    def _once(self, begin: str, work: Callable[[Transaction], T]) -> T:
        connection = self._connection
        committing = False
        try:
            cursor = connection.cursor()
            cursor.execute(begin)
            result = work(Transaction(cursor, self.driver.sql))
            committing = True
            cursor.execute("COMMIT")
        except self.driver.error as error:
            self._roll_back(connection)
            # A COMMIT without an answer may have happened: doing it again could write twice.
            if self.driver.lost(connection) and not committing:
                raise _LostError(error) from error
            raise
        except BaseException:
            self._roll_back(connection)
            raise
        return result

    def _roll_back(self, connection: Any) -> None:
        with suppress(self.driver.error):  # there may be no transaction, or no connection
            connection.execute("ROLLBACK")

    def _reconnect(self) -> None:
        with suppress(self.driver.error):
            self._connection.close()
        failure: StoreError | None = None
        for seconds in RECONNECT_AFTER:
            time.sleep(seconds)
            try:
                self._connection = self.driver.connect()
            except StoreError as error:
                failure = error
            else:
                return
        assert failure is not None
        raise failure


class _LostError(Exception):
    """The connection went away before anything was committed."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(str(error))
