"""What dbt is about to build of a microbatch model, and what of it is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def follow_batches(
    plan: Callable[[Any, Callable[[], dict[int, Any]]], dict[int, Any]],
    built: Callable[[Any, Any], None],
) -> None:
    """Ask for the batches of each model, and tell of each batch that is in the warehouse.

    ``plan`` is given the model's runner and how dbt would answer; ``built`` the model and a window.
    """
    from dbt.task.run import MicrobatchBatchRunner, MicrobatchModelRunner

    get_batches = MicrobatchModelRunner.get_batches
    run = MicrobatchBatchRunner.run_with_hooks

    def planned(runner: Any, model: Any) -> dict[int, Any]:
        return plan(runner, lambda: get_batches(runner, model))

    def ran(runner: Any, manifest: Any) -> Any:
        result = run(runner, manifest)
        if result is not None and result.status == "success" and result.batch_results:
            for window in result.batch_results.successful:
                built(runner.node, window)
        return result

    MicrobatchModelRunner.get_batches = planned
    MicrobatchBatchRunner.run_with_hooks = ran


def told_window(window: Any) -> list[str]:
    """The event time that a batch is about, as JSON."""
    return [at.isoformat() for at in window]
