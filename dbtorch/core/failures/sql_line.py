"""Which line of the SQL a warehouse complains about, from what it says."""

from __future__ import annotations

import re

#: "LINE 12: select amont" of Postgres, DuckDB and Redshift has the line's text with it.
_QUOTED = re.compile(r"^[^\S\n]*LINE (\d+): ?(.*)$", re.MULTILINE)

#: Snowflake, Databricks ("line 3 position 5", "line 3, pos 5"), BigQuery ("at [12:5]"), Trino.
_NUMBERED = (
    re.compile(r"\bline (\d+)(?:,? (?:at )?pos(?:ition)? \d+|:\d+)", re.IGNORECASE),
    re.compile(r"\bat \[(\d+):\d+\]"),
)


def sql_line(message: str) -> str:
    """``line 12: select amont``, or without its text; empty where nothing is said."""
    quoted = _QUOTED.search(message)
    if quoted is not None:
        return f"line {quoted[1]}: {quoted[2].strip()}".removesuffix(": ")
    found = (pattern.search(message) for pattern in _NUMBERED)
    return next((f"line {match[1]}" for match in found if match is not None), "")
