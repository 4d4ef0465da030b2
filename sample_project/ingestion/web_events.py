"""Web events: what the shop's pages sent to the collector, one file a week."""

from __future__ import annotations

from typing import Any

from ingestion import partition_overwrite
from ingestion.feeds import Feed

WEB_EVENTS = Feed(
    table="web_events",
    columns=(
        "event_id",
        "occurred_at",
        "session_id",
        "customer_id",
        "event_type",
        "page_url",
        "sku",
        "device",
        "utm_source",
    ),
)


def load(context: Any) -> dict[str, int]:
    """Overwrite the weeks whose file is new or has changed."""
    return partition_overwrite.load(context, WEB_EVENTS)
