"""The session: executes single nodes inside one open dbt invocation."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from typing import Any

from .attempt_log import AttemptLog
from .cancel_on_death import adopt_orphans, cancel_once, end_queries_with_us, vanish
from .channel import Channel, Message, leave
from .closing import close_connections, close_database_file
from .empty_sql import RENDERED_TO_NOTHING, NothingToExecute, is_nothing
from .freshness import check, check_all, describe_check, not_checked, threads_of, write_sources
from .gone import gone
from .microbatches import told_window
from .relation_checks import look
from .results import describe, failure, told, typed_status
from .rows import count_rows, rows_of, take_rows_apart
from .scrubbing import learn_of_credentials
from .selection import describe_selection
from .warehouse_queries import answer

#: The ends of the session, which are asked to stop as nodes are.
_PHASES = ("session.open", "session.close")

#: Resource types of what `dbt build` executes.
_EXECUTED = frozenset(
    ("model", "seed", "snapshot", "test", "unit_test", "saved_query", "exposure", "function")
)


class Session:
    """Everything one invocation shares: the channel, the task, results and logs."""

    def __init__(self, channel: Channel, request: Message) -> None:
        self.channel = channel
        self.request = request
        self.start_hooks = request["start_hooks"]
        self.end_hooks = True
        self.hooks_done: set[str] = set(request["hooks_done"])  # they do not run again
        self.begun = False
        self.blocked = False  # a failed on-run-start hook keeps nodes from running
        self.results: dict[str, Any] = {}  # the last result of each node, in order of ending
        self.sources: dict[str, Message] = {}  # the last check of each source, for sources.json
        self.errors: dict[str, BaseException] = {}
        self.logs: dict[str, AttemptLog] = {}
        self.running: dict[str, int] = {}
        self.kept: dict[str, threading.Event] = {}  # set when the batches of a node are
        self.forsaken: set[str] = set()  # nodes that nobody waits for any more
        self.first_command: Message = {}
        self.deferred: list[Message] = []  # came before the session could take them
        self.phase = ""  # node of the end that is under way: session.open, session.close
        self.task: Any = None

    def warned(self, name: str, text: str, node: str) -> None:
        """Pass on what dbt warns of."""
        self.channel.send("dbt_warning", name=name, message=text, node=node)

    # ------------------------------------------------------------ opening

    def opened(self, task: Any) -> None:
        """Report the selected graph, then wait until told to go on or to leave."""
        self.task = task
        learn_of_credentials(task.config.credentials)
        self.channel.at_once = self.cancel_phase
        self.channel.on_end = lambda: vanish(task)
        adopt_orphans()
        end_queries_with_us()
        count_rows(task.config.credentials.type)
        self.channel.send("opened", **describe_selection(task, self.request))
        self.wait()

    def wait(self) -> None:
        """Wait for the next command that concerns the whole session."""
        while True:
            message = self.channel.incoming.get()
            if message["type"] == "release":
                self.release(self.task)
            elif message["type"] == "ask":
                self.ask(self.task, message)
            elif message["type"] == "close":
                self.leave()
            elif message["type"] == "check":
                self.check_sources(message["nodes"])
            elif message["type"] == "gone":
                self.look_for(message["nodes"])
            elif message["type"] in ("begin", "finish"):
                self.first_command = message
                return
            else:
                self.deferred.append(message)

    def linger(self) -> None:
        """Answer questions about the warehouse after dbt's invocation, until told to leave."""
        while (message := self.channel.incoming.get())["type"] != "close":
            if message["type"] == "ask":
                self.ask(self.task, message)
        self.leave()

    def leave(self) -> None:
        """End before the run has: cancel what it does, and close what is open."""
        if self.running or self.phase:
            cancel_once(self.task)
        close_connections()
        leave(0)

    def before_run(self, task: Any, begin: Any) -> Any:
        """Dbt's before_run (schemas, cache, hooks), tried again as often as we are told to."""
        from dbt.artifacts.schemas.results import RunStatus
        from dbt.flags import get_flags

        while self.first_command["type"] == "begin":
            self.phase = "session.open"
            try:
                status = begin()
            except Exception as error:
                self.phase = ""
                task.node_results.clear()
                self.channel.send("begin_failed", **failure(error))
                self.wait()
                continue
            self.begun, self.phase = True, ""
            skips = getattr(get_flags(), "skip_nodes_if_on_run_start_fails", False)
            self.blocked = status not in (RunStatus.Success, None) and bool(skips)
            self.channel.send("begun", blocked=self.blocked)
            return RunStatus.Success
        self.deferred.append(self.first_command)
        return RunStatus.Success

    def hooks(self, task: Any, hook_type: str, run: Any) -> Any:
        """Run hooks once per run, and report what came of each."""
        from dbt.artifacts.schemas.results import RunStatus

        start = hook_type == "on-run-start"
        if not (self.start_hooks if start else self.end_hooks and self.begun):
            return RunStatus.Success
        try:
            status = run()
        finally:
            self.report_hooks(task)
        if start:
            self.start_hooks = False
        return status

    def report_hooks(self, task: Any) -> None:
        """Report hooks that have ended since the last time."""
        for result in task.node_results:
            uid = result.node.unique_id
            if result.node.resource_type == "operation" and uid not in self.hooks_done:
                self.hooks_done.add(uid)
                self.channel.send("hook", node=uid, **describe(result, None))

    def check_sources(self, uids: list[str]) -> None:
        """Check sources as `dbt source freshness` does, before anything of a run has begun."""
        try:
            checks = check_all(self.task, uids, self.errors)
        except Exception as error:
            self.channel.send("answer", error=failure(error)["message"])
        else:
            self.channel.send("checked", checks=checks)

    def look_for(self, uids: list[str]) -> None:
        """Say what has no relation any more, before anything of a run has begun."""
        try:
            found = gone(self.task, uids)
        except Exception as error:
            self.channel.send("answer", error=failure(error)["message"])
        else:
            self.channel.send("answer", found=found)

    def serve_without_nodes(self, task: Any) -> None:
        """Execute steps although dbt, with nothing selected, would go home; it runs no hooks."""
        if self.first_command["type"] == "begin":
            nodes = task.manifest.nodes.items()
            self.hooks_done |= {uid for uid, node in nodes if node.resource_type == "operation"}
            task.execute_with_hooks(frozenset())

    # ------------------------------------------------------------ executing

    def execute_nodes(self, task: Any) -> list[Any]:
        """Do what the supervisor says until it says that this is all."""
        from dbt.graph.thread_pool import DbtThreadPool
        from dbt_common.context import get_invocation_context

        threads = threads_of(task.config)
        pool = DbtThreadPool(threads, task._pool_thread_initializer, [get_invocation_context()])
        task.num_nodes += len(task.selected_unit_tests)
        began = time.monotonic()
        while (message := self._next())["type"] != "finish":
            self._do(task, pool, message)
        self.end_hooks = message["hooks"]
        self.phase = "session.close"
        pool.close()
        if not self.forsaken:
            pool.join()
        for adopted in message["adopt"]:
            self.adopt(task, adopted)
        write_sources(task, list(self.sources.values()), time.monotonic() - began)
        # dbt leaves ephemeral models out of its results, of artifacts and hooks alike.
        task.node_results.extend(
            result for result in self.results.values() if not result.node.is_ephemeral_model
        )
        # dbt hands on-run-end no results where a failed on-run-start hook kept nodes from running.
        return [] if self.blocked else list(task.node_results)

    def _next(self) -> Message:
        return self.deferred.pop(0) if self.deferred else self.channel.incoming.get()

    def _do(self, task: Any, pool: Any, message: Message) -> None:
        kind = message["type"]
        if kind in ("execute", "freshness", "look", "sql"):
            self.running[message["node"]] = message["attempt"]
            pool.apply_async(self.execute, (task, pool, message))
        elif kind == "ask":
            pool.apply_async(self.ask, (task, message))
        elif kind == "kept":
            self.kept[message["node"]].set()
        elif kind == "skip":
            self.skip(task, message)
        elif kind == "cancel":
            threading.Thread(target=self.cancel, args=(task, message["node"])).start()
        elif kind == "forsake":
            self.forsaken.add(message["node"])
            self.running.pop(message["node"], None)
        elif kind == "release":
            self.release(task)
        elif kind == "close":
            self.leave()

    def execute(self, task: Any, pool: Any, message: Message) -> None:
        """One attempt at one node, on a pool thread. Always answers."""
        uid, number = message["node"], message["attempt"]
        log = None
        try:
            log = self.logs[uid] = AttemptLog(message["log"])
            self.channel.send("started", node=uid, attempt=number)
            if message["type"] == "freshness":
                answer = self.check_source(task, uid)
            elif message["type"] == "look":
                found = look(task, uid, message["relation"], message["asked"], log.write)
                answer = {"status": "success", **found}
            elif message["type"] == "sql":
                answer = self.execute_sql(task, message, log)
            else:
                answer = self.attempt(task, pool, message)
        except BaseException as error:
            answer = {"status": "error", **failure(error)}
            if log is not None:
                log.write(in_full(error))
        finally:
            self.running.pop(uid, None)
            self.logs.pop(uid, None)
        if log is not None:
            log.close()
        self.channel.send("finished", node=uid, attempt=number, **answer)

    def attempt(self, task: Any, pool: Any, message: Message) -> Message:
        """Execute a node the way `dbt build` would, and describe the result."""
        from dbt.artifacts.schemas.batch_results import BatchResults
        from dbt.task.run import MicrobatchModelRunner

        uid, number = message["node"], message["attempt"]
        node = task.manifest.expect(uid)
        if number > 1:
            forget_compilation(node)
            task.run_count -= not node.is_ephemeral_model
        runner = task.get_runner(node)
        if isinstance(runner, MicrobatchModelRunner):
            runner.set_parent_task(task)
            runner.set_pool(pool)
            known = message["batches"]
            node.previous_batch_results = BatchResults.from_dict(known) if known else None
        self.errors.pop(uid, None)
        task.job_queue.in_progress.add(uid)
        try:
            result = task.call_runner(runner)
        finally:
            task.job_queue.in_progress.discard(uid)
        if uid not in self.forsaken:
            self.results.pop(uid, None)
            self.results[uid] = result
        error = self.errors.pop(uid, None)
        if error is not None:
            self.logs[uid].write(f"evidence: {told(error)}")
        answer = describe(result, error)
        if error is None and answer["status"] == "success":
            rows = rows_of(task, runner, result)
            if rows is not None:
                answer["rows"] = rows
        answer["rows_affected"] = take_rows_apart(result)
        return answer

    def plan_batches(self, runner: Any, plan: Any) -> dict[int, Any]:
        """The batches that a model is to have, none of which is built before they are kept.

        What nobody knows of would be taken for built once the first has made the table.
        """
        node = runner.node
        if not runner._is_incremental(node):
            node.previous_batch_results = None  # there is nothing that could be gone on with
        batches: dict[int, Any] = plan()
        uid = node.unique_id
        number = self.running.get(uid)
        if number is not None and batches:
            kept = self.kept[uid] = threading.Event()
            windows = [told_window(batches[place]) for place in sorted(batches)]
            self.channel.send("planned", node=uid, attempt=number, windows=windows)
            kept.wait()
        return batches

    def batch_built(self, node: Any, window: Any) -> None:
        """Report a batch that is in the warehouse; what is not has failed, whatever it came to."""
        number = self.running.get(node.unique_id)
        if number is not None:
            about = {"node": node.unique_id, "attempt": number}
            self.channel.send("built", **about, window=told_window(window))

    def check_source(self, task: Any, uid: str) -> Message:
        """Check the freshness of a source the way `dbt source freshness` would."""
        self.errors.pop(uid, None)
        result = check(task, uid)
        error = self.errors.pop(uid, None)
        if error is not None:
            self.logs[uid].write(f"evidence: {told(error)}")
        answer = describe_check(result, error)
        if uid not in self.forsaken:
            self.sources[uid] = answer["source"]
        return answer

    def execute_sql(self, task: Any, message: Message, log: AttemptLog) -> Message:
        """Execute a ``sql:`` step: compiled by dbt, run on a connection of its adapter."""
        from dbt.adapters.factory import get_adapter

        uid = message["node"]
        adapter = get_adapter(task.config)
        with adapter.connection_named(uid):
            sql = compile_sql(task, uid, message["sql"], message["run"])
            log.write(sql)
            if is_nothing(sql):
                raise NothingToExecute(RENDERED_TO_NOTHING)
            adapter.clear_transaction()
            response, _ = adapter.execute(sql, auto_begin=True, fetch=False)
            adapter.commit_if_has_connection()
        return {
            "status": "success",
            "message": str(response),
            "adapter_response": response.to_dict(omit_none=True),
        }

    def ask(self, task: Any, message: Message) -> None:
        """Look something up in the warehouse."""
        self.channel.send("answer", **answer(task, message))

    def skip(self, task: Any, message: Message) -> None:
        """Let dbt note that a node does not run, and why."""
        try:
            node = task.manifest.expect(message["node"])
        except Exception:
            return  # the resource was removed since, or is none of dbt's
        if node.resource_type not in _EXECUTED:
            return
        runner = task.get_runner(node)
        if message.get("cause"):
            self.adopt(task, message["cause"])
        cause = self.results.get(message.get("because") or "")
        ephemeral = cause is not None and cause.node.is_ephemeral_model
        runner.do_skip(cause=cause if ephemeral else None)
        result = task.call_runner(runner)
        if result.message is None and message.get("message"):
            result.message = message["message"]
        if not node.is_ephemeral_model:
            self.results[node.unique_id] = result

    def cancel(self, task: Any, uid: str) -> None:
        """Cancel what a node runs in the warehouse, until it has ended."""
        from dbt.adapters.factory import get_adapter

        adapter = get_adapter(task.config)
        if not adapter.is_cancelable():
            return
        number = self.running.get(uid)
        while number is not None and self.running.get(uid) == number:
            connections = list(adapter.connections.thread_connections.values())
            with contextlib.suppress(Exception), adapter.connection_named("dbtorch-cancel"):
                for connection in connections:
                    if connection.name == uid and str(connection.state) == "open":
                        adapter.connections.cancel(connection)
            time.sleep(0.2)

    def cancel_phase(self, message: Message) -> bool:
        """Cancel the hooks and whatever else opening or closing does; nodes are not under way."""
        if message["type"] != "cancel" or message["node"] not in _PHASES:
            return False
        threading.Thread(target=self.cancel_all, args=(message["node"],), daemon=True).start()
        return True

    def cancel_all(self, phase: str) -> None:
        """Cancel what every connection runs, as long as this phase lasts."""
        from dbt.adapters.factory import get_adapter

        adapter = get_adapter(self.task.config)
        while adapter.is_cancelable() and self.phase == phase:
            connections = list(adapter.connections.thread_connections.values())
            with contextlib.suppress(Exception), adapter.connection_named("dbtorch-cancel"):
                for connection in connections:
                    if str(connection.state) == "open":
                        adapter.connections.cancel(connection)
            time.sleep(0.2)

    def release(self, task: Any) -> None:
        """Close every connection, so that another process can open the database file."""
        from dbt.adapters.factory import get_adapter

        with contextlib.suppress(Exception):
            adapter = get_adapter(task.config)
            adapter.cleanup_connections()
            close_database_file(adapter)
        self.channel.send("released")

    def adopt(self, task: Any, message: Message) -> None:
        """Take over a result that an earlier worker of the same run has seen."""
        from dbt.artifacts.schemas.batch_results import BatchResults
        from dbt.artifacts.schemas.results import TimingInfo
        from dbt.artifacts.schemas.run import RunResult

        uid = message["node"]
        if uid in task.manifest.sources:
            if message["status"] == "skipped":
                return  # nobody has checked it
            found = message.get("source") or not_checked(uid, message.get("message") or "")
            self.sources.setdefault(uid, found)
            return
        if uid in self.results or uid in {result.node.unique_id for result in task.node_results}:
            return
        try:
            node = task.manifest.expect(uid)
        except Exception:
            return  # the resource was removed since
        batches = message.get("batch_results")
        self.results[uid] = RunResult(
            status=typed_status(node, message["status"]),
            timing=[TimingInfo.from_dict(timing) for timing in message.get("timing") or []],
            thread_id=message.get("thread_id") or "",
            execution_time=message.get("execution_time") or 0.0,
            adapter_response=message.get("adapter_response") or {},
            message=message.get("message") or None,
            failures=message.get("failures"),
            node=node,
            batch_results=BatchResults.from_dict(batches) if batches else None,
        )


def in_full(error: BaseException) -> str:
    """What a log says about an exception: dbt's and ours are written for people."""
    from dbt_common.exceptions import DbtBaseException

    for_people = (DbtBaseException, NothingToExecute)
    return str(error) if isinstance(error, for_people) else traceback.format_exc()


def forget_compilation(node: Any) -> None:
    """Make dbt compile a node anew; it keeps injected CTEs otherwise and never recovers."""
    for name, value in (("extra_ctes_injected", False), ("extra_ctes", []), ("compiled", False)):
        if name in vars(node):  # a seed has some of them as properties
            setattr(node, name, value)


def compile_sql(task: Any, uid: str, sql: str, run: Message) -> str:
    """Render a step's SQL as dbt renders a model: ref, source, var, env_var, macros, and run.*."""
    from dbt.parser.manifest import process_node
    from dbt.parser.sql import SqlBlockParser

    parser = SqlBlockParser(project=task.config, manifest=task.manifest, root_project=task.config)
    node = parser.parse_remote(sql, uid.replace(".", "_"))
    try:
        process_node(task.config, task.manifest, node)
        compiled = task.compiler.compile_node(node, task.manifest, {"run": run}, write=False)
        return str(compiled.compiled_code)
    finally:
        task.manifest.nodes.pop(node.unique_id, None)
