"""What dbt says while it runs goes to the log of the attempt it is about."""

from __future__ import annotations

from typing import Any

from .savings import build_messages_late
from .session import Session


def route_events(session: Session) -> None:
    """Send what dbt says about a node to its attempt's log.

    A debug event that no logger wants is not turned into a message: building and writing those
    takes 12 to 20 % of a run.
    """
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.contextvars import get_node_info
    from dbt_common.events.event_manager import EventManager

    own, printed = _dbts_own_callbacks(), _printed()
    fire_event = EventManager.fire_event
    unheard = {EventLevel.DEBUG: 0, EventLevel.TEST: 0, EventLevel.INFO: 1}

    def fire(manager: Any, e: Any, level: Any = None, *args: Any, **kwargs: Any) -> None:
        rank = unheard.get(level or e.level_tag(), 2)
        if session.logs and not (rank == 0 and type(e).__name__ in CHATTER):
            log = session.logs.get((get_node_info() or {}).get("unique_id") or "")
            if log is not None:
                log.write(e.message())
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
