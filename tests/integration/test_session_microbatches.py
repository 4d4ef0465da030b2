"""What the session engine does not build, for nobody knows what is left of it."""

from __future__ import annotations

from pathlib import Path

from dbtorch.core.model.state import FailureClass
from tests.sessions import Shop, session

MODEL = """
    {{ config(
        materialized='incremental', incremental_strategy='microbatch', event_time='ts',
        batch_size='day', lookback=0, begin='2026-03-01'
    ) }}
    select timestamp '2026-03-01' as ts
"""


def test_what_another_engine_may_have_built_in_part_is_not_called_done(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            "models/days.sql": MODEL,
            "models/after_days.sql": "select * from {{ ref('days') }}",
            "models/others.sql": MODEL,
        },
    )
    window = ("--event-time-start", "2026-03-01", "--event-time-end", "2026-03-03")
    with session(shop, *window) as found:
        found.engine.adopt({}, {}, {"model.shop.days"})
        found.drive()
    assert found.states == {
        "session.open": "success",
        "days": "failed",
        "after_days": "upstream_failed",
        "others": "success",
        "session.close": "success",
    }
    outcome = found.outcome("days")
    assert "`dbtorch run --select days+ --event-time-start" in outcome.message
    assert outcome.failure_class is FailureClass.CODE
    assert shop.results()["model.shop.days"][0] == "error"
