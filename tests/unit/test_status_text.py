"""What `dbtorch status` says of everything taken together."""

import json
from datetime import UTC, datetime

import pytest

from dbtorch.cli.text.status import status_json
from dbtorch.core.history.health import Health, HealthFacts, Item
from dbtorch.service.health.health import ProjectHealth


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
