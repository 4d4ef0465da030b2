"""Hearing what dbt says while it runs, and letting it make nothing of what nobody reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .savings import build_messages_late


def hear(heard: Callable[[Any, str], None]) -> None:
    """Be called with every event that dbt fires, and its level, on the thread that fires it.

    A debug event that no logger wants is not turned into a message: building and writing those
    takes 12 to 20 % of a run.
    """
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.event_manager import EventManager

    own, printed = _dbts_own_callbacks(), _printed()
    fire_event = EventManager.fire_event
    unheard = {EventLevel.DEBUG: 0, EventLevel.TEST: 0, EventLevel.INFO: 1}

    def fire(manager: Any, e: Any, level: Any = None, *args: Any, **kwargs: Any) -> None:
        at = level or e.level_tag()
        rank = unheard.get(at, 2)
        heard(e, at.value)
        if (
            rank == 2
            or type(e).__name__ in printed
            or any(callback not in own for callback in manager.callbacks)
            or any(unheard.get(logger.level, 2) <= rank for logger in manager.loggers)
        ):
            fire_event(manager, e, level, *args, **kwargs)

    EventManager.fire_event = fire
    build_messages_late()


def _dbts_own_callbacks() -> tuple[Any, ...]:
    """Callbacks of dbt itself that are about warnings only."""
    import dbt.tracking

    found = getattr(dbt.tracking, "track_behavior_change_warn", None)  # since 1.10
    return () if found is None else (found,)


def _printed() -> frozenset[str]:
    """Events that dbt prints whatever its log level."""
    import dbt_common.events.logger

    return frozenset(getattr(dbt_common.events.logger, "PRINT_EVENT_NAMES", ("PrintEvent",)))


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
