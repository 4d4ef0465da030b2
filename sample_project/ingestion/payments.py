"""Payments: what the payment provider booked, one file for each half of a month."""

from __future__ import annotations

from typing import Any

from ingestion import partition_overwrite
from ingestion.feeds import Feed

PAYMENTS = Feed(
    table="payments",
    columns=(
        "payment_id",
        "order_id",
        "payment_type",
        "method",
        "status",
        "amount_cents",
        "currency",
        "processed_at",
    ),
)


def load(context: Any) -> dict[str, int]:
    """Overwrite the halves of a month whose file is new or has changed."""
    return partition_overwrite.load(context, PAYMENTS)
