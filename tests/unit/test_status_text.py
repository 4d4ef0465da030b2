"""What `dbtorch status` says of everything taken together."""

import json
from datetime import UTC, datetime

import pytest

from dbtorch.cli import status_text
from dbtorch.core.standing import Health, Item, Standing


@pytest.mark.parametrize(
    ("healths", "healthy"),
    [
        ([], True),
        ([Health.OK, Health.LATE], True),
        ([Health.OK, Health.UNKNOWN], None),
        ([Health.UNKNOWN, Health.STALE, Health.OK], False),
    ],
)
def test_what_nobody_knows_is_not_called_well(healths, healthy):
    items = [
        Item(kind="model", id=f"model.shop.m{i}", name=f"m{i}", health=health)
        for i, health in enumerate(healths)
    ]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    said = json.loads(status_text.as_json("shop", Standing(), items, now))
    assert said["healthy"] is healthy
