"""Euro exchange rates, from a service that turns the first caller away.

There is no network in this sample: the answers lie in ``landing/exchange_rates``. What is real is
the rate limit, so that every run shows a step that fails, waits and succeeds.
"""

from __future__ import annotations

from typing import Any

from ingestion import swap
from ingestion.feeds import Feed

EXCHANGE_RATES = Feed(
    table="exchange_rates",
    columns=("rate_date", "base_currency", "currency", "rate"),
)


def load(context: Any) -> dict[str, int]:
    """Put all rates in the place of the old ones. The first attempt meets the rate limit."""
    if context.params.get("rate_limited") and context.attempt == 1:
        raise ConnectionError("429 Too Many Requests from rates.example.com: try again later")
    return swap.load(context, EXCHANGE_RATES, key=("rate_date", "currency"))
