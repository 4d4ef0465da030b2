"""Web events: what the shop's pages sent to the collector, one file a week."""

from __future__ import annotations

from typing import Any

from ingestion import loader
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
    """Land new and changed files."""
    return loader.load(context, WEB_EVENTS)
