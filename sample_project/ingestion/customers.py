"""Customers: the CRM delivers everybody once, then whoever is new or has changed."""

from __future__ import annotations

from typing import Any

from ingestion import loader
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
    """Land new and changed deliveries."""
    return loader.load(context, CUSTOMERS)
