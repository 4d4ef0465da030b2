"""How two contents differ, and what counts as the same value."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dbtorch.adapters.dbt.dbtorch_worker.warehouse_queries import hashed
from dbtorch.core.checks.idempotency import DIGEST, Content, compare


def content(*rows: str, **columns: str) -> Content:
    digests = b"".join(row.encode().ljust(DIGEST) for row in rows)
    return Content(
        rows=len(rows), columns=columns or {"id": "".join(sorted(rows))}, digests=digests
    )


CASES = [
    (content("a", "b"), content("b", "a"), None),  # order is no content
    (content(), content(), None),
    (content("a", "b"), content("a", "a", "b", "b"), "rows doubled"),
    (content("a"), content("a", "b", "c"), "2 rows more"),
    (content("a", "b"), content("a"), "1 row fewer"),
    (content("a", "a"), content("a"), "1 row fewer"),  # how often a row is there counts
    (content("a", "b"), content("a", "c"), "1 row changed in id"),
    (content("a", "b"), content("c", "d", "e"), "1 row more, 2 rows changed"),
    (content("a", id="1", at="2"), content("b", id="1", at="3"), "1 row changed in at"),
    (content("a", id="1"), content("a", id="1", new="2"), "other columns: new"),
    (content("a"), None, "it is gone"),
    (None, content("a"), "it is a new one"),
    (None, None, None),
]


@pytest.mark.parametrize(("first", "second", "said"), CASES)
def test_differences(first: Content | None, second: Content | None, said: str | None) -> None:
    found = compare(first, second)
    assert (found and str(found)) == said


def test_a_hash_knows_rows_and_not_their_order() -> None:
    assert content("a", "b").hash == content("b", "a").hash != content("a", "c").hash


SAME = [
    (0.1 + 0.2, 0.3, True),  # parallel sums
    (0.1, 0.10001, False),
    (1, 1.0, False),  # a column has one type
    (None, "null", False),
    ("1", 1, False),
    (b"x", memoryview(b"x"), True),  # as drivers hand bytes over
    (Decimal("1.50"), Decimal("1.50"), True),
    ("\ud800", "\ud801", False),  # no Unicode, and yet content
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_values(one: object, other: object, same: bool) -> None:
    assert (hashed(one) == hashed(other)) is same
