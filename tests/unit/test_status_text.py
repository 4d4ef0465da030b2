"""What `dbtorch status` says of everything taken together."""

import json
from datetime import UTC, datetime

import pytest

from dbtorch.cli.text.status import status_json, status_text
from dbtorch.core.history.health import Health, HealthFacts, Item
from dbtorch.service.health.health import ProjectHealth


@pytest.mark.parametrize(
    ("healths", "healthy", "counts"),
    [
        ([], True, "all ok"),
        ([Health.OK, Health.OK], True, "all ok"),
        ([Health.OK, Health.LATE], True, "1 late, 1 ok"),
        ([Health.OK, Health.UNKNOWN], None, "1 unknown, 1 ok"),
        ([Health.UNKNOWN, Health.STALE, Health.OK], False, "1 stale, 1 unknown, 1 ok"),
        ([*Health], False, "1 failed, 1 stale, 1 gated, 1 late, 1 unknown, 1 ok"),
    ],
)
def test_what_nobody_knows_is_not_called_well(healths, healthy, counts):
    items = [
        Item(kind="model", id=f"model.shop.m{i}", name=f"m{i}", health=health)
        for i, health in enumerate(healths)
    ]
    found = ProjectHealth(
        project="shop",
        standing=HealthFacts(),
        items=tuple(items),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        nodes=(),
        edges=(),
        complete=True,
    )
    said = json.loads(status_json(found))
    assert found.healthy is healthy
    assert said["healthy"] is healthy
    assert next(status_text(found)) == f"Project shop: {counts}"
