"""A small dbt project in a folder, run through the real session engine and the real loop."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import duckdb
import psycopg

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.dbt.session.engine import SessionEngine
from dbtorch.adapters.dbt.session.open_request import SessionRequest
from dbtorch.adapters.dbt.sql_step_kind import SqlStep
from dbtorch.app.inbox import Inbox, Interrupt
from dbtorch.app.planning import Planned, make_plan
from dbtorch.app.runner import Runner
from dbtorch.app.step_wiring import Choice, texts_to_resolve
from dbtorch.core.config import Config, StepSpec
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Attempt, Batch, Changed, Finished, Outcome, Started
from dbtorch.core.model.policy import Breaker
from dbtorch.core.model.reason import Reason, ReasonKind
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.run.machine import Run
from dbtorch.core.settings import Settings
from dbtorch.ports.engine import Selected
from dbtorch.ports.loop import Emit
from dbtorch.testing import SUCCEEDS, fails
from tests.waiting import PATIENCE, wait_for


class Shop:
    """A dbt project called shop. Files are text by path; indentation does not matter."""

    def __init__(
        self,
        dir: Path,
        files: Mapping[str, str],
        *,
        project: str = "",
        target: Mapping[str, Any] | None = None,
        threads: int = 2,
    ) -> None:
        """``project`` is added to dbt_project.yml; without a ``target`` it builds in a file."""
        self.dir = dir
        self.database = dir / "shop.duckdb"
        self.target = {"type": "duckdb", "path": self.database.name, "schema": "main"}
        self.target = {"threads": threads, **(target or self.target)}
        profile = {"shop": {"target": "dev", "outputs": {"dev": self.target}}}
        self.write(
            {
                "dbt_project.yml": f"{_PROJECT}{textwrap.dedent(project)}",
                "profiles.yml": json.dumps(profile),
                **files,
            }
        )
        self._parsed_as = json.dumps([project, self.target])
        if self._parsed_as in _PARSED:
            (dir / _PARTIAL_PARSE).parent.mkdir()
            (dir / _PARTIAL_PARSE).write_bytes(_PARSED[self._parsed_as])

    def keep_parsed(self) -> None:
        """Let later projects of the same kind start from what dbt has parsed here."""
        if self._parsed_as not in _PARSED and (self.dir / _PARTIAL_PARSE).is_file():
            _PARSED[self._parsed_as] = (self.dir / _PARTIAL_PARSE).read_bytes()

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, and the folders they are in."""
        for name, text in files.items():
            path = self.dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse."""
        if self.target["type"] == "duckdb":
            with duckdb.connect(str(self.database), read_only=True) as file:
                return file.execute(sql).fetchall()
        names = {"host": "host", "port": "port", "user": "user", "dbname": "dbname"}
        parts = {key: self.target[name] for key, name in names.items()}
        options = f"-csearch_path={self.target['schema']}"
        password = self.target["password"] or None
        with psycopg.connect(**parts, password=password, options=options, autocommit=True) as found:
            cursor = found.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def artifact(self, name: str = "run_results.json", folder: str = "target") -> dict[str, Any]:
        """One of dbt's artifacts."""
        content: dict[str, Any] = json.loads((self.dir / folder / name).read_text())
        return content

    def results(self, folder: str = "target") -> dict[str, tuple[str, str | None]]:
        """Status and message of each result, by unique id."""
        found = self.artifact(folder=folder)["results"]
        assert len(found) == len({result["unique_id"] for result in found})
        return {result["unique_id"]: (result["status"], result["message"]) for result in found}


_PARTIAL_PARSE = Path("target", "partial_parse.msgpack")

#: What dbt keeps of a parse of its own macros, two seconds of a first start, by what it depends on.
_PARSED: dict[str, bytes] = {}

_PROJECT = """\
name: shop
profile: shop
version: "1.0"
flags: {send_anonymous_usage_stats: false}
"""


def on_postgres(url: str) -> dict[str, Any]:
    """A target in a schema of its own."""
    parts = urlsplit(url)
    return {
        "type": "postgres",
        "host": parts.hostname,
        "port": parts.port or 5432,
        "user": parts.username,
        "password": parts.password or "",
        "dbname": parts.path.removeprefix("/"),
        "schema": f"shop_{uuid4().hex[:12]}",
    }


class Calls:
    """Implements `Steps`: every step is a function, called in a thread."""

    def __init__(self, emit: Emit, functions: Mapping[str, Callable[[], object]]) -> None:
        self._emit = emit
        self._functions = functions
        self._threads: list[threading.Thread] = []

    def start(self, batch: Batch) -> None:
        for attempt in batch.attempts:
            self._threads.append(threading.Thread(target=self._call, args=(attempt,)))
            self._threads[-1].start()

    def cancel(self, attempt: Attempt) -> None:
        """A function ends when it ends."""

    def close(self) -> None:
        for thread in self._threads:
            thread.join()

    def _call(self, attempt: Attempt) -> None:
        self._emit(Started(attempt))
        outcome = SUCCEEDS
        try:
            self._functions[attempt.node_id]()
        except Exception as error:
            outcome = fails(repr(error))
        self._emit(Finished(attempt, outcome))


#: A file that is not there is no mistake where a test lets it come while the run waits.
COMES_LATE = Rule(failure_class=FailureClass.UNKNOWN, message="no files found that match")


class Session:
    """One run of a project; `session` makes and closes it."""

    def __init__(
        self,
        shop: Shop,
        out: Path,
        *args: str,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
        steps: Mapping[str, Callable[[], object]] | None = None,
        sql: Mapping[str, str] | None = None,
        specs: Iterable[StepSpec] = (),
        each: Settings | None = None,
        settings: Mapping[str, Settings] | None = None,
        everything: bool = True,
        grace: float = 5.0,
        breaker: Breaker | None = None,
        failure_classes: tuple[Rule, ...] = (COMES_LATE,),
    ) -> None:
        """``steps`` and ``sql`` are by node id; ``each`` holds for all nodes, ``settings`` by id."""
        self.shop = shop
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.inbox = Inbox()
        self.changes: list[Changed] = []
        self.heard: list[object] = []
        self._when: list[tuple[str, State, Callable[[], object]]] = []
        self._settings = {_full(id): found for id, found in (settings or {}).items()}
        self._everything = everything
        each = (each or Settings()).over(Settings(retries=2, retry_delay=0.01))
        steps_by_name = {spec.name: spec for spec in specs}
        self.config = Config(defaults=each, steps=steps_by_name, circuit_breaker=breaker)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DBT_", "DBTORCH_"))}
        where = ("--project-dir", str(shop.dir), "--profiles-dir", str(shop.dir))
        quiet = ("--log-level", "warn", "--log-level-file", "none", "--no-use-colors")
        request = SessionRequest(
            python=python,
            args=(*where, *(() if "--debug" in args else quiet), *args),
            cwd=shop.dir,
            environ={**kept, **(env or {})},
            log_path=lambda attempt: out / f"{attempt.node_id}.{attempt.number}.log",
            console=out / "dbt.log",
            scratch=out,
            grace=grace,
            sql={id: SqlStep(text=text, skip=lambda _: "") for id, text in (sql or {}).items()},
            run={"id": "run-1", "partition": "2026-03-01"},
            failure_classes=failure_classes,
        )
        self.engine = SessionEngine(request, self._emit)
        self.steps = Calls(self.inbox.put, steps or {})
        self.selected: Selected
        self.planned: Planned
        self.run: Run

    # ------------------------------------------------------------ driving

    def open(self) -> Session:
        """Parse and plan."""
        self.selected = self.engine.open(texts_to_resolve(self.config))
        choice = Choice(everything=self._everything)
        self.planned = make_plan(self.selected, self.config, self._settings, {}, choice)
        self.run = Run(self.planned.plan, random=lambda: 0.999)
        return self

    def when(self, id: str, state: State, do: Callable[[], object]) -> None:
        """Call this, in the loop, each time a node gets into a state."""
        self._when.append((_full(id), state, do))

    def drive(self) -> Session:
        """Run to the end."""
        if not hasattr(self, "run"):
            self.open()
        self.engine.accept()
        Runner(
            self.run,
            self.planned,
            engine=self.engine,
            steps=self.steps,
            inbox=self.inbox,
            clock=SystemClock(),
            recorder=self._record,
        ).drive()
        return self

    def in_background(self) -> threading.Thread:
        """Drive in a thread; it is over when the thread is."""
        if not hasattr(self, "run"):
            self.open()
        thread = threading.Thread(target=self.drive, daemon=True)
        thread.start()
        return thread

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.inbox.put(Interrupt(Reason(ReasonKind.SIGNAL, text="SIGINT")))

    @property
    def worker(self) -> int:
        """Process id of the present worker."""
        assert self.engine._worker is not None
        return self.engine._worker.pid

    def kill_worker(self) -> None:
        """What the out-of-memory killer does; returns when the process is gone."""
        worker = self.engine._worker
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker._process.wait(PATIENCE)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that happens in another thread or process."""
        wait_for(condition)

    # ------------------------------------------------------------ what came of it

    @property
    def states(self) -> dict[str, str]:
        """State of every node; models, seeds and hooks by their plain names."""
        return {_short(id): state.value for id, state in self.run.states.items()}

    def outcomes(self, id: str) -> list[Outcome]:
        """What came of each attempt at a node."""
        id = _full(id)
        return [c.outcome for c in self.changes if c.node_id == id and c.outcome is not None]

    def outcome(self, id: str) -> Outcome:
        """What came of the last attempt at a node."""
        return self.outcomes(id)[-1]

    def history(self, id: str) -> list[str]:
        """States a node went through."""
        return [change.state.value for change in self.changes if change.node_id == _full(id)]

    def log(self, id: str, number: int = 1) -> str:
        """The log of an attempt."""
        return (self.out / f"{_full(id)}.{number}.log").read_text()

    def logs(self) -> str:
        """All logs of all attempts."""
        return "\n".join(path.read_text() for path in self.out.glob("*.*.log"))

    @property
    def console(self) -> str:
        """What dbt printed."""
        return (self.out / "dbt.log").read_text()

    # ------------------------------------------------------------ inside

    def _emit(self, event: Any) -> None:
        self.heard.append(event)
        self.inbox.put(event)

    def _record(self, changes: Iterable[Changed]) -> None:
        for change in changes:
            self.changes.append(change)
            for id, state, do in self._when:
                if (change.node_id, change.state) == (id, state):
                    do()


@contextmanager
def session(shop: Shop, *args: str, **more: Any) -> Iterator[Session]:
    """A session of a project, closed afterwards whatever happens."""
    number = len(list(shop.dir.parent.glob(f"{shop.dir.name}-out-*")))
    found = Session(shop, shop.dir.parent / f"{shop.dir.name}-out-{number}", *args, **more)
    try:
        yield found
    finally:
        found.engine.close()
        found.steps.close()
        shop.keep_parsed()


def driven(shop: Shop, *args: str, **more: Any) -> Session:
    """Run a project to its end."""
    with session(shop, *args, **more) as found:
        return found.drive()


def _full(id: str) -> str:
    return id if "." in id else f"model.shop.{id}"


def _short(id: str) -> str:
    return id.removeprefix("model.shop.").removeprefix("operation.shop.")
