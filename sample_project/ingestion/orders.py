"""Orders and their lines: a monthly export of the shop system, two files each."""

from __future__ import annotations

from typing import Any

from ingestion import partition_overwrite
from ingestion.feeds import Feed

ORDERS = Feed(
    table="orders",
    columns=(
        "order_id",
        "customer_id",
        "ordered_at",
        "status",
        "currency",
        "shipping_country_code",
        "updated_at",
    ),
)

ORDER_ITEMS = Feed(
    table="order_items",
    columns=(
        "order_id",
        "line_number",
        "sku",
        "quantity",
        "unit_price_cents",
        "discount_cents",
    ),
)


def load(context: Any) -> dict[str, int]:
    """Overwrite the months whose export is new or has changed."""
    return partition_overwrite.load(context, ORDERS, ORDER_ITEMS)
