"""What comes from outside at its worst: one list for all tests that let it in."""

from __future__ import annotations

#: Texts that are no number, date, JSON, name or selection, or one that nobody can count with.
TEXTS = (
    "",
    " ",
    "nan",
    "-inf",
    "1e999",
    "-1",
    "0",
    "99999999999999999999",
    "9" * 5000,
    "0001-01-01T00:00:00+12:00",
    "9999-12-31T23:59:59-12:00",
    "2026-02-30",
    "1e30d",
    "25:00",
    "[" * 10_000,  # deeper than any reader goes; libyaml takes four times as long for twice that
    '{"a":' * 10_000,
    "[1e999, NaN, -Infinity]",
    "null",
    "[null]",
    "{}",
    '{"deadline": {"at": "x", "action": "y"}, "dbt_args": 1}',
    '"text"',
    "\x1b[31m\x9b2J\u202e",
    "\ud800",
    "half\0",
    "../../../../etc/passwd",
    "x" * 300_000,
    "{{ 1/0 }}",
    "'; DROP TABLE runs; --",
    "--",
    "-",
)

#: Values of any type, as JSON or a database could hold them.
VALUES = (
    None,
    True,
    -1,
    0,
    2**63 - 1,
    -(2**63),
    float("nan"),
    float("inf"),
    1e308,
    b"\xff\x00",
    *TEXTS,
)
