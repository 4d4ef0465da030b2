"""Customers: the CRM delivers everybody once, then whoever is new or has changed."""

from __future__ import annotations

from typing import Any

from ingestion import merge
from ingestion.feeds import Feed

CUSTOMERS = Feed(
    table="customers",
    columns=(
        "customer_id",
        "first_name",
        "last_name",
        "email",
        "country_code",
        "signed_up_at",
        "marketing_opt_in",
        "updated_at",
    ),
)


def load(context: Any) -> dict[str, int]:
    """Merge new and changed deliveries: of a customer the newest version stays."""
    return merge.load(context, CUSTOMERS, key="customer_id", changed_at="updated_at")
