"""dbt's build task, with the session in the place of its own queue."""

from __future__ import annotations

import functools
import sys
from typing import Any

from .attempt_log import AttemptLog, route_events
from .microbatches import follow_batches
from .patches import apply_patches
from .reported_args import correct
from .rows import keep_rows_of_batches
from .run_start import keep_the_beginning
from .session import Session


def install(session: Session) -> None:
    """Put the session into dbt's place for this invocation."""
    import dbt.task.build

    dbt.task.build.BuildTask = _task_of(session)
    AttemptLog.flush_all_the_time()
    _keep_exceptions(session.errors)
    follow_batches(session.plan_batches, session.batch_built)
    if session.request["patches"]:
        apply_patches()
    route_events(session.logs, session.warned)
    keep_the_beginning()
    keep_rows_of_batches()


def _task_of(session: Session) -> type[Any]:
    import dbt.task.build

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

        def get_result(self, *args: Any, **kwargs: Any) -> Any:
            result = super().get_result(*args, **kwargs)
            correct(result.args, session.request["ours"])
            return result

        def execute_nodes(self) -> Any:
            return session.execute_nodes(self)

    return SessionTask


def _keep_exceptions(errors: dict[str, BaseException]) -> None:
    """Let the exception of each node be known, which dbt makes a text of."""
    from dbt.task.base import BaseRunner
    from dbt.task.run import MicrobatchBatchRunner

    handle_exception = BaseRunner.handle_exception

    def keep_exception(runner: Any, e: Any, ctx: Any) -> Any:
        errors[runner.node.unique_id] = e
        return handle_exception(runner, e, ctx)

    build_failed = MicrobatchBatchRunner._build_failed_run_batch_result

    def keep_batch_exception(runner: Any, *args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1]
        if error is not None:
            errors[runner.node.unique_id] = error
        return build_failed(runner, *args, **kwargs)

    BaseRunner.handle_exception = keep_exception
    MicrobatchBatchRunner._build_failed_run_batch_result = keep_batch_exception
