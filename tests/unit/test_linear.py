"""Texts of others are read in a time that grows with their length, and not with its square."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import Lines
from dbtorch.adapters.dbt.process.operations.operation import bare
from dbtorch.core.alerts.messages import _DBT_HEADING
from dbtorch.core.errors import Refused
from dbtorch.core.failures.message import first_line
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.failures.sql_line import sql_line
from dbtorch.core.text import durations

#: Characters; a pattern that begins anew at each of them would take minutes.
MANY = 200_000

#: What each pattern of ours, or one it once had, would begin to read again and again.
REPEATED = (
    "a.", "a", " ", "\n", " \n", "\n ", "\t", "://", "a://", "://a@", "@", "x:", ":1", "1", "line 1",
    "LINE ", "(in ", "(in a:1", "(in a:1:1) ", "\n --> ", "> in macro dbtorch_a (",
    " in macro dbtorch_a (", "xoxb-", "https://hooks.slack.com/", "authorization: ",
    "authorization: a ", "password=", "password='", 'password="', "password = ", "secret =", " (",
    ") ", "A Error in ", "A Error in b (c)\n", "\x1b[", "\x1b[1", "-----", "Dictionary: {} ",
    "'meta': {", "}, ",
)  # fmt: skip


def _heading(text: str) -> object:
    return _DBT_HEADING.sub("", text)


READERS: tuple[Callable[[str], object], ...] = (
    Scrubber(["s3cret!", "a" * 300, "https://x.example/a.a.a.a"]),
    sql_line,
    bare,
    first_line,
    _heading,
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("read", READERS, ids=lambda read: getattr(read, "__name__", "scrubber"))
def test_a_long_text_is_read_at_once(read: Callable[[str], object]) -> None:
    for begins in ("", "Database Error in model x ("):
        for one in REPEATED:
            read(begins + one * (MANY // len(one)) + "!")


@pytest.mark.timeout(60)
def test_a_line_of_dbt_is_read_at_once() -> None:
    begins = "[NodeStart]: Unable to parse logging event dictionary. why. Dictionary: {"
    for one in ("Dictionary: {", "} ", "'meta': {", "}, ", "{"):
        text = begins + one * (200_000 // len(one))
        line = '{"info": {"name": "Note", "level": "debug", "msg": "%s", "ts": ""}, "data": {}}'
        Lines().read((line % text).encode())


@pytest.mark.timeout(60)
def test_a_duration_is_read_at_once() -> None:
    for text in ("1d" + " " * 100_000 + "x", " " * 100_000 + "x", "1" * 100_000):
        with pytest.raises(Refused):
            durations.seconds(text)
    assert durations.seconds(" 1 h 30 m ") == 5400
