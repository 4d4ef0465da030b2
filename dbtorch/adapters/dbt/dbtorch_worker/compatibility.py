"""The methods of dbt that the worker builds on, and whether they are still the same."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable

#: dbt-core versions the parity tests pass on; others run if the signatures hold, with a warning.
TESTED = ("1.10", "1.11", "1.12")

#: The seams the worker relies on: (module, class, method, parameters).
SEAMS = (
    (
        "dbt.materializations.incremental.microbatch",
        "MicrobatchBuilder",
        "__init__",
        (
            "self",
            "model",
            "is_incremental",
            "event_time_start",
            "event_time_end",
        ),
    ),
    ("dbt.tracking", "User", "__init__", ("self", "cookie_dir")),
    ("dbt.task.base", "BaseRunner", "safe_run", ("self", "manifest")),
    ("dbt.task.base", "BaseRunner", "handle_exception", ("self", "e", "ctx")),
    ("dbt.task.base", "BaseRunner", "run_with_hooks", ("self", "manifest")),
    (
        "dbt.task.freshness",
        "FreshnessRunner",
        "__init__",
        ("self", "config", "adapter", "node", "node_index", "num_nodes"),
    ),
    (
        "dbt.task.freshness",
        "FreshnessRunner",
        "set_metadata_freshness_cache",
        ("self", "metadata_freshness_cache"),
    ),
    (
        "dbt.task.freshness",
        "FreshnessTask",
        "populate_metadata_freshness_cache",
        ("self", "adapter", "selected_uids"),
    ),
    ("dbt.task.runnable", "GraphRunnableTask", "_runtime_initialize", ("self",)),
    ("dbt.task.runnable", "GraphRunnableTask", "execute_nodes", ("self",)),
    ("dbt.task.runnable", "GraphRunnableTask", "get_runner", ("self", "node")),
    ("dbt.task.runnable", "GraphRunnableTask", "call_runner", ("self", "runner")),
    ("dbt.task.run", "RunTask", "before_run", ("self", "adapter", "selected_uids")),
    ("dbt.task.run", "RunTask", "get_hooks_by_type", ("self", "hook_type")),
    ("dbt.task.run", "MicrobatchModelRunner", "set_parent_task", ("self", "parent_task")),
    ("dbt.task.run", "MicrobatchModelRunner", "set_pool", ("self", "pool")),
    ("dbt.task.run", "MicrobatchModelRunner", "get_batches", ("self", "model")),
    ("dbt.task.run", "MicrobatchModelRunner", "_is_incremental", ("self", "model")),
    ("dbt.task.run", "MicrobatchBatchRunner", "run_with_hooks", ("self", "manifest")),
    (
        "dbt.task.run",
        "MicrobatchModelRunner",
        "merge_batch_results",
        ("self", "result", "batch_results"),
    ),
    (
        "dbt.task.run",
        "MicrobatchBatchRunner",
        "_build_failed_run_batch_result",
        ("self", "model", "batch"),
    ),
    (
        "dbt.task.run",
        "RunTask",
        "safe_run_hooks",
        ("self", "adapter", "hook_type", "extra_context"),
    ),
)


def check_compatibility() -> list[str]:
    """Compare dbt's methods with those the worker was written for; answer warnings.

    Raises RuntimeError with one sentence when one of them has changed.
    """
    version = importlib.metadata.version("dbt-core")
    changed = []
    for module, owner, method, expected in SEAMS:
        found = getattr(getattr(_module(module), owner, None), method, None)
        if not callable(found) or not _takes(found, expected):
            changed.append(f"{owner}.{method}")
    if changed:
        raise RuntimeError(
            f"dbt-core {version} has changed {', '.join(changed)}, which dbtorch builds on; "
            f"install dbt-core {TESTED[0]} to {TESTED[-1]}, or a newer dbtorch"
        )
    if not version.startswith(tuple(f"{tested}." for tested in TESTED)):
        return [
            f"dbt-core {version} is newer or older than what dbtorch was tested with "
            f"({TESTED[0]} to {TESTED[-1]}); its interfaces match, so the run goes on"
        ]
    return []


def _takes(method: Callable[..., object], expected: tuple[str, ...]) -> bool:
    """Whether these are its parameters; more may follow if nobody has to give them."""
    parameters = list(inspect.signature(method).parameters.values())
    first, more = parameters[: len(expected)], parameters[len(expected) :]
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(found.name for found in first) == expected and all(
        found.default is not inspect.Parameter.empty or found.kind in optional for found in more
    )


def _module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
