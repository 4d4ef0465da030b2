"""`dbtorch serve`: the scheduler with its signals, its configuration, and its HTTP side."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from dbtorch.adapters.calendars import Calendars
from dbtorch.adapters.config.loading import NAMES
from dbtorch.core.errors import DbtorchError, StoreError, UsageError
from dbtorch.core.exit_codes import Exit
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.ports.store import Store
from dbtorch.schedule.children import DBTORCH, Child, Starter
from dbtorch.schedule.lane import Lane
from dbtorch.schedule.log import Log
from dbtorch.schedule.looks import BackgroundLooks, DatabaseTurn
from dbtorch.schedule.scheduler import Scheduler
from dbtorch.schedule.state import ServeState
from dbtorch.schedule.warm import Warm
from dbtorch.schedule.webhooks import Webhooks
from dbtorch.service.conditions.looker import Looker
from dbtorch.service.history.store import history_of
from dbtorch.service.project.artifacts import artifacts_of
from dbtorch.service.project.known_secrets import scrubber_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.project.store_scope import adapters_of
from dbtorch.service.run.lease import lease_lifetime
from dbtorch.service.schedule.timetable import TimedPipeline, timetable
from dbtorch.service.wiring.warm import warm_request

#: Seconds between two looks at what others may have changed: pauses, ticks, dbtorch.yml.
_LOOK_EVERY = 1.0

#: Seconds after which a database that does not answer is asked again.
_ASK_AGAIN = 5.0

#: Seconds between the grace of runs and the end of what does not listen: what a run that gets
#: SIGTERM takes at most, and a little for the rest.
_AFTER_GRACE = 7.0

#: Seconds within which the history is told that we end.
_TELLING = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line says."""

    project_dir: str | None = None
    database_url: str | None = None
    artifacts_url: str | None = None
    host: str = "127.0.0.1"
    port: int | None = 8484  # None: no HTTP; 0: any that is free
    hosts: tuple[str, ...] = ()  # further names that it may be called by
    token: str = ""  # of the pages; empty: they are shown on loopback alone
    root_path: str = ""  # what a proxy has put in front of its addresses
    max_runs: int = 16
    grace: float | None = None  # seconds
    warm: bool = True  # whether a process is kept that has dbt imported
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    program: tuple[str, ...] = DBTORCH

    def of_runs(self, project: Project) -> RunOptions:
        """What the runs that are started are told in other ways, to look at before they are."""
        return RunOptions(
            project_dir=str(project.dir),
            database_url=self.database_url,
            artifacts_url=self.artifacts_url,
            environ=self.environ,
        )

    def environ_of_runs(self) -> dict[str, str]:
        """What the runs that are started find in their environment: the URLs may hold passwords."""
        said = {
            "DBTORCH_DATABASE_URL": self.database_url,
            "DBTORCH_ARTIFACTS_URL": self.artifacts_url,
        }
        found = {**self.environ, **{name: url for name, url in said.items() if url}}
        found.pop("DBTORCH_UI_TOKEN", None)  # a step has no business with it
        return found


def serve(options: ServeOptions, stream: TextIO | None = None) -> int:
    """Run due pipelines until a signal says to end. Answers the exit code.

    Raises `DbtorchError` where it cannot begin.
    """
    project = open_project(options.project_dir, options.environ)
    hide = scrubber_of(project, environ=options.environ_of_runs())
    log = Log(stream or sys.stdout, hide)
    run_options = options.of_runs(project)
    artifacts_of(project, run_options)  # what no run could use is refused once, and not by each
    with ExitStack() as stack:
        store = stack.enter_context(closing(history_of(project, run_options, create=True)))
        served = _Served(options, project, store, log)
        stack.enter_context(served.listening())
        return served.go()


class _Served:
    """A scheduler, and what it hears of."""

    def __init__(self, options: ServeOptions, project: Project, store: Store, log: Log) -> None:
        self._options = options
        self._project = project
        self._store = store
        self._log = log
        self._events: queue.SimpleQueue[Child | int] = queue.SimpleQueue()
        self._read = _stamp(project.dir)
        self._looked = 0.0
        self._hangs: threading.Timer | None = None  # runs since a signal to end
        self._environ = options.environ_of_runs()
        self._warm = Warm(log) if options.warm else None
        self._grace = project.config.grace if options.grace is None else options.grace
        self.state = ServeState()
        starter = Starter(
            program=options.program,
            project_dir=project.dir,
            environ=self._environ,
            grace=options.grace,
            log=log,
            on_line=lambda child, said: self.state.heard(child.key, said),
            on_end=self._events.put,
            warm=self._warm,
        )
        self._scheduler = Scheduler(
            store=store,
            starter=starter,
            lane=Lane(store=store, starter=starter, log=log),
            log=log,
            observer=self.state,
            max_runs=options.max_runs,
            lifetime=lease_lifetime(options.environ),
        )
        self._calendars = Calendars(
            on_problem=lambda why: log.write("calendar_unread", level="warning", message=why)
        )
        self._turn_of_database = DatabaseTurn(exclusive=False, runs=self._runs)
        self._looks = BackgroundLooks(looker=self._looker(project), log=log)
        self._webhooks = Webhooks(store=store.apart(), log=log, environ=self._environ)
        self._scheduler.use(self._timetable(project))

    def _timetable(self, project: Project) -> dict[ScheduleKey, TimedPipeline]:
        self._looks.looker = self._looker(project)
        self._webhooks.use(project.config)
        return timetable(
            project.config, self._store.identity, self._calendars, looking=self._looks.of
        )

    def _looker(self, project: Project) -> Looker:
        self._turn_of_database.exclusive = "duckdb" in adapters_of(project)
        return Looker(
            project=project,
            store=self._store.apart(),
            environ=self._environ,
            database=self._turn_of_database.look,
        )

    def _runs(self) -> bool:
        """Whether any run goes on, started here or elsewhere."""
        mine = f"{self._store.identity.project_id}/"
        held = self._looks.looker.store.ledger().leases
        return bool(self._scheduler.under_way) or any(name.startswith(mine) for name in held)

    def listening(self) -> ExitStack:
        """Hear signals, and answer HTTP, while the answer is open. Raises `UsageError`."""
        stack = ExitStack()
        if self._options.port is not None:
            stack.enter_context(self._answering(self._options.host, self._options.port))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            before = signal.signal(number, self._on_signal)
            stack.callback(signal.signal, number, before)
        return stack

    @contextmanager
    def _answering(self, host: str, port: int) -> Iterator[None]:
        from dbtorch.schedule.http import answering, application
        from dbtorch.schedule.metrics import Metrics
        from dbtorch.schedule.pages import pages_of
        from dbtorch.web.server import hosts_of, root_path_of, token_of

        metrics = Metrics(self.state, self._store.apart())
        hosts = hosts_of(host, self._options.hosts)
        root_path = root_path_of(self._options.root_path)
        token = token_of(self._options.token, self._options.environ)
        with pages_of(
            self._project, self._options.of_runs(self._project), host, hosts, token
        ) as pages:
            app = application(self.state, metrics, hosts, self._webhooks, pages)
            with answering(app, host, port, root_path=root_path) as bound:
                self._log.write("http_answers", host=host, port=bound, pages=pages is not None)
                yield

    def go(self) -> int:
        """Turn until a signal says to end."""
        self._log.write(
            "serve_started",
            pid=os.getpid(),
            project=self._project.name,
            pipelines=self._scheduler.by_themselves,
        )
        self._warm_up()
        received: int | None = None
        while received is None:
            received = self._wait(self._turn())
        self._log.write("serve_ending", signal=signal.Signals(received).name)
        self._end()
        self._log.write("serve_ended")
        return 0

    def _warm_up(self) -> None:
        """Have runs of the project, as it is now, start warm."""
        if self._warm is not None and self._scheduler.by_themselves:
            self._warm.use(warm_request(self._project, self._environ, Path.cwd()))

    def _turn(self) -> float:
        self._reload_if_changed()
        if self._warm is not None:
            self._warm.look()
        self._calendars.look()
        try:
            with self._turn_of_database.start() as free:
                self._scheduler.waits = not free
                rest = self._scheduler.turn()
        except StoreError as error:
            self.state.failed(str(error))
            self._log.write("store_failed", level="error", message=str(error))
            return _ASK_AGAIN
        return min(rest, _LOOK_EVERY)

    def _wait(self, seconds: float) -> int | None:
        """Hear of what has happened, for so long at most; answers a signal that ends all."""
        until = time.monotonic() + seconds
        ended: list[Child] = []
        received: int | None = None
        while received is None:
            try:
                event = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(event, Child):
                ended.append(event)
            elif event == signal.SIGHUP:
                self._reload()
            else:
                received = event
            until = time.monotonic()  # and whatever else has happened by now
        if ended:
            self._ended(*ended)
        return received

    def _ended(self, *children: Child) -> None:
        if not self._scheduler.stopping:
            self._looked = 0.0
            self._reload_if_changed()  # they may have ended as they could not read that
        try:
            self._scheduler.ended(*children)
        except StoreError as error:  # its tick is found again when its lease is over
            self._log.write("store_failed", level="error", message=str(error))

    # ---------------------------------------------------------------- dbtorch.yml

    def _reload_if_changed(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        if _stamp(self._project.dir) != self._read:
            self._reload()

    def _reload(self) -> None:
        """Read dbtorch.yml again; what is due waits while it is broken, as no run could read it."""
        self._read = _stamp(self._project.dir)
        try:
            project = open_project(str(self._project.dir), self._options.environ)
            found = self._timetable(project)
            artifacts_of(project, self._options.of_runs(project))
            if self._scheduler.by_themselves and not self._read:  # a mount that failed, an editor
                raise UsageError("dbtorch.yml is gone; put it back")
        except DbtorchError as error:
            what = f"the schedules stay as they were, and what is due waits: {error}"
            self._scheduler.hold()
            self.state.reloaded(ok=False)
            self._log.write("reload_failed", level="error", message=what)
            return
        self._project = project
        self._scheduler.use(found)
        self._warm_up()
        self.state.reloaded(ok=True)
        self._log.write("reloaded", pipelines=self._scheduler.by_themselves)

    # ---------------------------------------------------------------- the end

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._events.put(number)
        if number != signal.SIGHUP and self._hangs is None:
            self._hangs = self._unless_told()

    def _unless_told(self) -> threading.Timer:
        """End without the history unless it is told in time, and this is cancelled."""
        found = threading.Timer(_TELLING, self._end_untold)
        found.daemon = True
        found.start()
        return found

    def _end_untold(self) -> None:
        """End, whatever the main thread waits for: who ends us does not wait for a database.

        What ran is gone on with when its lease is over.
        """
        what = "the history hangs, so this ends without telling it"
        self._log.write("store_failed", level="error", message=what)
        children = self._scheduler.under_way
        for child in children:
            child.ask_to_end()
        until = time.monotonic() + self._grace + _AFTER_GRACE
        for child in children:
            if child.thread is not None:
                child.thread.join(max(0.0, until - time.monotonic()))
            child.kill()
        os._exit(Exit.UNREACHABLE)

    def _end(self) -> None:
        """Start nothing more, let what runs end within its grace, and leave it to others."""
        if self._warm is not None:
            self._warm.close()
        self._looks.close()
        try:
            self._scheduler.give_back()
        except StoreError as error:
            self._log.write("store_failed", level="error", message=str(error))
        if self._hangs is not None:
            self._hangs.cancel()
        for child in self._scheduler.under_way:
            child.ask_to_end()
        self._await_children(self._grace + _AFTER_GRACE)
        for child in self._scheduler.under_way:
            child.kill()
        self._await_children(_AFTER_GRACE)
        hangs = self._unless_told()
        try:
            self._scheduler.leave()
        except StoreError as error:
            self._log.write("store_failed", level="error", message=str(error))
        hangs.cancel()

    def _await_children(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._scheduler.under_way and time.monotonic() < until:
            try:
                event = self._events.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            if isinstance(event, Child):
                self._ended(event)


def _stamp(folder: Path) -> list[Any]:
    """What says whether dbtorch.yml is another one."""
    found: list[Any] = []
    for name in NAMES:
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        found.append((name, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return found
