"""What differs between two equal runs by nature, made equal.

The rule, for every cell of the warehouse, every message and every compiled statement:

- a point in time no further than a day from now is ``<now>`` (audit columns, `dbt_valid_from`,
  names of temporary tables); older ones are data and compared as they are;
- a UUID is ``<uuid>`` (invocation ids);
- columns of `_BY_NAME` are their own names: `dbt_scd_id` is a hash that covers the wall clock,
  `run_id` names the run that loaded a row;
- DuckDB's guesses at what a misspelled name meant are left out, they depend on what is cached;
  so are colours;
- the project's own folder, its database's name and temporary files are named the same.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from tests.parity.project import Project

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?"
)
#: dbt's and dbt-duckdb's names of temporary relations carry the time down to the microsecond.
_STAMPED_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)\d{6,18}")
#: dbt-postgres adds the time of day alone.
_STAMPED_SUFFIX = re.compile(r"(__dbt_tmp|__dbt_backup|__dbt_new)\d{8,20}")
_TEMPORARY_FILE = re.compile(r"(?:/[\w.+-]+)*/tmp\w{8}\.py")
_GUESS = re.compile(r"\s*Did you mean \"[^\"]*\"(?: or \"[^\"]*\")*\?|\s*Candidate bindings:[^\n]*")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_ADDRESS = re.compile(r"0x[0-9a-f]{8,}")
_BY_NAME = frozenset({"dbt_scd_id", "run_id"})


def normal(text: str, project: Project) -> str:
    """The text without what is different each time."""
    text = _GUESS.sub("", _COLOUR.sub("", text)).replace(str(project.path), "<project>")
    if project.postgres:
        text = text.replace(project.env["PGDATABASE"], "parity")
    text = _TIMESTAMP.sub(_recent, text)
    text = _STAMPED_SUFFIX.sub(r"\1<now>", text)
    text = _STAMPED_NAME.sub(_recent, text)
    text = _TEMPORARY_FILE.sub("<temporary file>", text)
    return _ADDRESS.sub("<address>", _UUID.sub("<uuid>", text))


def normal_cell(column: str, value: str | None, project: Project) -> str | None:
    """A cell of the warehouse, as text."""
    if value is None:
        return None
    return f"<{column}>" if column in _BY_NAME else normal(value, project)


def _recent(found: re.Match[str]) -> str:
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return found[0]
    near = abs(day - datetime.now(UTC).date()) <= timedelta(days=1)
    return "<now>" if near else found[0]
