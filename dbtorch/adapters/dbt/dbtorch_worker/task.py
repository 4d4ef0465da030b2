"""dbt's build task, with the session in the place of its own queue."""

from __future__ import annotations

import functools
import sys
from typing import Any

from .attempt_log import AttemptLog, route_events
from .rows import keep_rows_of_batches
from .savings import make_macros_quickly, match_relations_quickly
from .session import Session


def install(session: Session) -> None:
    """Put the session into dbt's place for this invocation."""
    import dbt.task.build
    from dbt.task.base import BaseRunner
    from dbt.task.run import MicrobatchBatchRunner

    class SessionTask(dbt.task.build.BuildTask):  # type: ignore[misc]
        """A build whose nodes are executed on demand."""

        def _runtime_initialize(self) -> None:
            super()._runtime_initialize()
            session.opened(self)
            if not self._flattened_nodes:
                session.serve_without_nodes(self)

        def before_run(self, adapter: Any, selected_uids: Any) -> Any:
            begin = functools.partial(super().before_run, adapter, selected_uids)
            return session.before_run(self, begin)

        def safe_run_hooks(self, adapter: Any, hook_type: Any, extra_context: Any) -> Any:
            run = functools.partial(super().safe_run_hooks, adapter, hook_type, extra_context)
            return session.hooks(self, hook_type, run)

        def get_hooks_by_type(self, hook_type: Any) -> Any:
            hooks = super().get_hooks_by_type(hook_type)
            return [hook for hook in hooks if hook.unique_id not in session.hooks_done]

        def get_hook_sql(self, *args: Any, **kwargs: Any) -> Any:
            session.report_hooks(self)  # those before this one
            return super().get_hook_sql(*args, **kwargs)

        def execute_nodes(self) -> Any:
            return session.execute_nodes(self)

    handle_exception = BaseRunner.handle_exception

    def keep_exception(runner: Any, e: Any, ctx: Any) -> Any:
        session.errors[runner.node.unique_id] = e
        return handle_exception(runner, e, ctx)

    build_failed = MicrobatchBatchRunner._build_failed_run_batch_result

    def keep_batch_exception(runner: Any, *args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1]
        if error is not None:
            session.errors[runner.node.unique_id] = error
        return build_failed(runner, *args, **kwargs)

    dbt.task.build.BuildTask = SessionTask
    AttemptLog.flush_all_the_time()
    BaseRunner.handle_exception = keep_exception
    MicrobatchBatchRunner._build_failed_run_batch_result = keep_batch_exception
    route_events(session.logs)
    keep_rows_of_batches()
    make_macros_quickly()
    match_relations_quickly()
