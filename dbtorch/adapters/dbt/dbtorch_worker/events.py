"""Hearing what dbt says while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def hear(heard: Callable[[Any, str], None]) -> None:
    """Be called with every event that dbt fires, and its level, on the thread that fires it.

    Of a warning only if it stays one: dbt may make an error of it, or nothing.
    """
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.event_manager import EventManager

    fire_event = EventManager.fire_event

    def fire(manager: Any, e: Any, level: Any = None, *args: Any, **kwargs: Any) -> None:
        at = level or e.level_tag()
        if at is not EventLevel.WARN:
            heard(e, at.value)
        fire_event(manager, e, level, *args, **kwargs)
        if at is EventLevel.WARN and not _is_silenced(manager, e, args, kwargs):
            heard(e, at.value)

    EventManager.fire_event = fire


def _is_silenced(manager: Any, event: Any, args: Any, kwargs: Any) -> bool:
    """Whether ``--warn-error-options`` makes nothing of a warning (dbt 1.9 and newer ask here)."""
    forced = args[1] if len(args) > 1 else kwargs.get("force_warn_or_error_handling", False)
    asks = forced or getattr(manager, "require_warn_or_error_handling", False)
    silenced = getattr(getattr(manager, "warn_error_options", None), "silenced", None)
    return bool(asks and silenced is not None and silenced(event))


#: Warnings that are the results of nodes, or that whoever runs them says in other words.
TOLD_OTHERWISE = frozenset(
    {
        "LogFreshnessResult",
        "LogTestResult",
        "NoNodesSelected",
        "NothingToDo",
        "RunResultWarning",
        "RunResultWarningMessage",
    }
)


#: Debug events that say nothing a person looks for in the log of an attempt.
CHATTER = frozenset(
    {
        "CacheAction",
        "CacheDumpGraph",
        "ConnectionReused",
        "ConnectionUsed",
        "FinishedCleanPaths",
        "NewConnection",
        "NewConnectionOpening",
        "NodeCompiling",
        "NodeExecuting",
        "NodeFinished",
        "NodeStart",
        "ConnectionClosed",
        "ConnectionClosed2",
        "ConnectionLeftOpen",
        "SendingEvent",
        "TimingInfoCollected",
        "WritingInjectedSQLForNode",
        "SQLCommit",
    }
)
