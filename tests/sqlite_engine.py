"""An engine of its own kind: every file of SQL becomes a table of a SQLite file. No dbt is needed.

It was written from CONTRIBUTING alone and knows nothing of dbtorch but `ports` and `core`, which
`tests/unit/test_third_engine.py` holds it to. The contract suite runs over it as over the others.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbtorch.core.checks.idempotency import DIGEST, Content
from dbtorch.core.checks.relation_checks import RelationChecks
from dbtorch.core.errors import EngineError
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import (
    Attempt,
    Batch,
    Changed,
    Finished,
    Outcome,
    Started,
    Window,
)
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.plan import SESSION_CLOSE, SESSION_OPEN
from dbtorch.ports.engine import Engine, Place, Selected
from dbtorch.ports.loop import Emit

_REF = re.compile(r"\{\{\s*ref\('(\w+)'\)\s*\}\}")


class NoWarnings:
    """Implements `DbtWarningFeed`: there is no dbt."""

    def listen(self, listener: Callable[[DbtWarning], None]) -> None:
        """There will never be any."""

    def all(self) -> tuple[DbtWarning, ...]:
        """None."""
        return ()


class SqliteEngine:
    """Implements `Engine` with one thread and one connection: one node at a time."""

    def __init__(self, folder: Path, emit: Emit, *, project: str = "shop") -> None:
        """``folder`` has models/*.sql, and builds in <project>.sqlite; sources.json may name
        tables with a ``loaded_at`` column and the seconds after which one is stale.
        """
        self._folder = folder
        self._project = project
        self._emit = emit
        self._file = folder / f"{project}.sqlite"
        self._news = threading.Condition()
        self._sql: dict[str, str] = {}  # by node id
        self._sources: dict[str, Mapping[str, Any]] = {}  # by source id
        self._queue: list[Batch] = []
        self._at_work: Attempt | None = None
        self._ended: Outcome | None = None  # what everything comes to from now on
        self._silent = False  # killed: nobody is told of anything any more
        self._leaving = False
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self.warnings: list[str] = []
        self.dbt_warnings = NoWarnings()

    # ---------------------------------------------------------------- before the plan is known

    def launch(self) -> None:
        """Reading some files takes no time."""

    @property
    def plans_from_cache(self) -> bool:
        """Reading them again takes no longer."""
        return False

    def start_speculatively(self, cached: Selected | None) -> bool:
        """Nothing would be gained."""
        del cached
        return False

    def prewarm(self) -> None:
        """It is always ready."""

    def invalidate(self) -> None:
        """Hand back what waits."""
        self._hand_back(Outcome(state=State.FAILED, failure_class=FailureClass.TRANSIENT))

    # ---------------------------------------------------------------- opening

    def open(self, texts: Sequence[str] = ()) -> Selected:
        """Read models and sources."""
        models = {path.stem: path.read_text() for path in self._folder.glob("models/*.sql")}
        refs = {name: _refs(name, text) for name, text in models.items()}
        self._sql = {self._id(n): _REF.sub(r'"\1"', text) for n, text in models.items()}
        self._sources = self._read_sources()
        edges = tuple((self._id(r), self._id(n)) for n, found in refs.items() for r in found)
        nodes = [
            Node(
                id=self._id(name),
                kind=Kind.MODEL,
                name=name,
                path=f"models/{name}.sql",
                materialized="table",
                checksum=_digest(text).hex(),
            )
            for name, text in sorted(models.items())
        ]
        sources = [Node(id=id, kind=Kind.SOURCE, name=id.split(".", 2)[2]) for id in self._sources]
        resolved = {text: self._resolve(text, edges) for text in texts}
        return Selected(
            nodes=(*nodes, *sources),
            edges=edges,
            selected=frozenset(self._sql),
            selected_edges=edges,
            selected_sources=frozenset(self._sources),
            resolved={text: ids for text, ids in resolved.items() if ids},
            unreadable={text: "no such model" for text, ids in resolved.items() if not ids},
            freshness={id: _limits(source) for id, source in self._sources.items()},
            hooks=(),
            threads=1,
            fail_fast=False,
            target={"name": "dev", "type": "sqlite", "path": str(self._file)},
            exclusive_file=None,  # SQLite lets others in between two statements
            vars={},
            dbt_version="0",
            adapter=f"sqlite {sqlite3.sqlite_version}",
            project=self._project,
            project_dir=self._folder,
            target_path=self._folder / "target",
            manifest_hash=_digest(json.dumps(sorted(models.items()))).hex(),
        )

    def accept(self) -> None:
        """Begin with what waits."""
        with self._news:
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="sqlite", daemon=True)
                self._thread.start()

    def refuse(self, why: str, failure_class: FailureClass = FailureClass.CODE) -> None:
        """Let everything fail that is not under way."""
        outcome = Outcome(state=State.FAILED, message=why, failure_class=failure_class)
        with self._news:
            self._ended = outcome
        self._hand_back(outcome)

    # ---------------------------------------------------------------- executing

    def adopt(
        self,
        results: Mapping[str, Mapping[str, Any]],
        microbatches: Mapping[str, Mapping[Window, bool]],
        unsettled: Collection[str] = (),
    ) -> None:
        """It writes no artifacts."""

    def watch(self, checks: Mapping[str, RelationChecks]) -> None:
        """It looks at no relations: dbtorch.yml asks for no checks where this engine is used."""

    def start(self, batch: Batch) -> None:
        """Queue it."""
        with self._news:
            ended = self._ended
            if ended is None:
                self._queue.append(batch)
                self._news.notify_all()
        if ended is not None:
            self._finish_all([batch], ended)

    def skip(self, changes: Sequence[Changed]) -> None:
        """It writes no artifacts."""

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt it, or take it out of the queue."""
        with self._news:
            waiting = [batch for batch in self._queue if attempt in batch.attempts]
            self._queue = [batch for batch in self._queue if batch not in waiting]
            if self._at_work == attempt:
                self._interrupt()
        why = "cancelled before it started"
        self._finish_all(waiting, Outcome(state=State.FAILED, message=why))

    def release(self) -> None:
        """Close the connection, once nothing is under way."""
        with self._news:
            self._news.wait_for(lambda: self._at_work is None)
            self._disconnect()

    def leave_out_start_hooks(self) -> None:
        """There are no hooks."""

    def leave_out_end_hooks(self) -> None:
        """There are no hooks."""

    def abandon(self, why: str) -> None:
        """End everything for this reason."""
        self.refuse(why, FailureClass.UNKNOWN)
        with self._news:
            self._interrupt()

    def kill(self) -> None:
        """Interrupt what is under way, and say nothing of it. Takes no lock."""
        self._silent = True
        self._interrupt()

    def close(self) -> None:
        """End everything, and the thread."""
        if self._ended is None:
            self.abandon("the engine was closed")
        with self._news:
            self._leaving = True
            self._interrupt()
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._disconnect()

    # ---------------------------------------------------------------- questions

    def check_sources(self, sources: Sequence[str]) -> list[Outcome]:
        """How old the newest row of each is; an entry of sources.json for each."""
        outcomes = [self._check(id) for id in sources]
        self._disconnect()
        path = self._folder / "target" / "sources.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([one.details["source"] for one in outcomes]))
        return outcomes

    def gone(self, nodes: Sequence[str]) -> frozenset[str]:
        """Those that have no table."""
        self._connected()
        there = set(self.tables())
        self._disconnect()
        return frozenset(id for id in nodes if _table(id) not in there)

    def tables(self) -> Sequence[str]:
        """All tables."""
        found = self._ask("select name from sqlite_master where type = 'table' order by name")
        return [_quoted(name) for (name,) in found[1]]

    def content(self, relation: str, *, ignore: Sequence[str] = ()) -> Content:
        """All rows, hashed; patterns of columns are left to other engines."""
        columns, rows = self._ask(f"select * from {relation}")
        left_out = tuple(name for name in columns if name in ignore)
        places = [place for place, name in enumerate(columns) if name not in left_out]
        return Content(
            rows=len(rows),
            columns={columns[at]: _sum(repr(row[at]) for row in rows) for at in places},
            left_out=left_out,
            digests=b"".join(_digest(repr([row[at] for at in places])) for row in rows),
        )

    def drop_schemas(self, prefix: str, databases: Sequence[str]) -> None:
        """SQLite has no schemas."""

    def rows(self, sql: str, most: int) -> Sequence[Sequence[Any]]:
        """Rows of a query."""
        return self._ask(sql)[1][:most]

    def columns(self, database: str, schema: str, name: str) -> Sequence[tuple[str, str, str]]:
        """What SQLite says of a table."""
        found = self._ask(f"select name, type from pragma_table_info('{name}')")[1]
        return [(column, _quoted(column), type) for column, type in found]

    def mark_schema(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """SQLite has no schemas."""
        return False

    def clone(self, relation: Place, of: Place) -> bool:
        """It cannot."""
        return False

    def make(self, relation: Place, sql: str, *, view: bool) -> None:
        """Not asked for here."""
        raise EngineError("nothing is made here")

    def marked_schemas(
        self, databases: Sequence[str], pattern: str, table: str
    ) -> Sequence[tuple[str, str, Mapping[str, str] | None]]:
        """None."""
        return []

    def drop_marked(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> bool:
        """There is nothing to drop."""
        return False

    # ---------------------------------------------------------------- the thread

    def _loop(self) -> None:
        while (attempt := self._next()) is not None:
            self._emit(Started(attempt))
            outcome = self._execute(attempt)
            with self._news:
                self._at_work = None
                self._news.notify_all()
            if not self._silent:
                self._emit(Finished(attempt, outcome))

    def _next(self) -> Attempt | None:
        """Wait for the next attempt; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._queue or self._leaving)
            if self._silent or not self._queue:
                return None
            (self._at_work,) = self._queue.pop(0).attempts  # `batches` is None: one at a time
            return self._at_work

    def _execute(self, attempt: Attempt) -> Outcome:
        try:
            if attempt.node_id == SESSION_CLOSE:
                self._disconnect()
            elif attempt.node_id == SESSION_OPEN:
                self._connected()
            elif attempt.node_id in self._sources:
                return self._check(attempt.node_id)
            else:
                self._build(attempt.node_id)
        except sqlite3.Error as error:
            return self._ended or _failed(error)
        return Outcome(state=State.SUCCESS)

    def _build(self, id: str) -> None:
        table = _table(id)
        with self._connected() as connection:  # in one transaction
            connection.execute("begin")
            connection.execute(f"drop table if exists {table}")
            connection.execute(f"create table {table} as {self._sql[id]}")

    def _check(self, id: str) -> Outcome:
        source, limits = self._sources[id], _limits(self._sources[id])
        entry: dict[str, Any] = {"unique_id": id, "status": "runtime error"}
        try:
            query = f"select max(loaded_at) from {_quoted(source['table'])}"
            ((loaded_at,),) = self._connected().execute(query).fetchall()
        except sqlite3.Error as error:
            found = _failed(error)
            return Outcome(
                state=State.FAILED,
                message=found.message,
                failure_class=found.failure_class,
                details={"source": entry},
            )
        age = (datetime.now(UTC) - datetime.fromisoformat(loaded_at)).total_seconds()
        stale = limits.error_after is not None and age > limits.error_after
        entry |= {
            "status": "error" if stale else "pass",
            "max_loaded_at": loaded_at,
            "max_loaded_at_time_ago_in_s": age,
        }
        return Outcome(
            state=State.FAILED if stale else State.SUCCESS,
            failure_class=FailureClass.DATA if stale else None,
            details={"source": entry},
        )

    # ---------------------------------------------------------------- small things

    def _id(self, name: str) -> str:
        return f"model.{self._project}.{name}"

    def _read_sources(self) -> dict[str, Mapping[str, Any]]:
        path = self._folder / "sources.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def _resolve(self, text: str, edges: Sequence[tuple[str, str]]) -> frozenset[str]:
        """A model, or with a plus behind it what depends on it as well."""
        found = {id for id in self._sql if id == self._id(text.rstrip("+"))}
        while text.endswith("+"):
            after = {child for parent, child in edges if parent in found} - found
            if not after:
                break
            found |= after
        return frozenset(found)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(
                self._file, check_same_thread=False, isolation_level=None
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _interrupt(self) -> None:
        if self._connection is not None and self._at_work is not None:
            self._connection.interrupt()

    def _ask(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        if self._connection is None:
            raise EngineError("the session is not open")
        try:
            cursor = self._connection.execute(sql)
        except sqlite3.Error as error:
            raise EngineError(str(error)) from error
        return [column[0] for column in cursor.description], cursor.fetchall()

    def _hand_back(self, outcome: Outcome) -> None:
        with self._news:
            waiting, self._queue = self._queue, []
        self._finish_all(waiting, outcome)

    def _finish_all(self, batches: Sequence[Batch], outcome: Outcome) -> None:
        for batch in batches:
            for attempt in batch.attempts:
                self._emit(Finished(attempt, outcome))


def _refs(name: str, text: str) -> list[str]:
    """Models that one names. Raises `EngineError` for a template that says anything else."""
    if "{%" in text:
        raise EngineError(
            f"Compilation Error in model {name} (models/{name}.sql): there are no tags; "
            "write SQL and {{ ref('…') }}"
        )
    return _REF.findall(text)


def _failed(error: sqlite3.Error) -> Outcome:
    busy = error.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED")
    found = FailureClass.TRANSIENT if busy else FailureClass.CODE
    if error.sqlite_errorname == "SQLITE_INTERRUPT":
        found = FailureClass.UNKNOWN
    return Outcome(state=State.FAILED, message=str(error), failure_class=found)


def _limits(source: Mapping[str, Any]) -> Thresholds:
    return Thresholds(warn_after=None, error_after=source["error_after"], filter="")


def _table(id: str) -> str:
    return _quoted(id.rpartition(".")[2])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()


def _sum(texts: Any) -> str:
    return f"{sum(int.from_bytes(_digest(text)) for text in texts) % 2 ** (8 * DIGEST):x}"


_: Callable[..., Engine] = SqliteEngine  # mypy holds it to all of the port
