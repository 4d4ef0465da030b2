"""What a check of idempotence says of columns that may be left out."""

import pytest

from dbtorch.cli.text.idempotency import may_ignore
from dbtorch.core.checks.idempotency import DIGEST, Content
from dbtorch.service.idempotency.two_runs import Compared, Verdict


def content(rows=1, **columns):
    digests = b"".join(str(sorted(columns.items())).encode()[-DIGEST:] for _ in range(rows))
    return Content(rows=rows, columns=columns, digests=digests)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (content(id="1", at="x"), content(id="1", at="x"), []),
        (content(at="x"), content(at="y"), ["If it is to differ: --ignore at"]),
        (
            content(**{"at": "x", "my col": "x"}),
            content(**{"at": "y", "my col": "y"}),
            ["If they are to differ: --ignore at --ignore 'my col'"],
        ),
        # more rows are no matter of columns
        (content(at="x"), content(rows=2, at="x"), []),
        (content(at="x"), None, []),
    ],
)
def test_columns_that_alone_differ_may_be_left_out(first, second, said):
    compared = Compared(name="shop.orders", first=first, second=second)
    assert may_ignore(Verdict(relations=(compared,), failure="")) == said
