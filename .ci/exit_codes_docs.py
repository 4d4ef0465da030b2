"""Writes the table of exit codes in ``docs/production.md`` from the code's own."""

from __future__ import annotations

import re
from pathlib import Path

from dbtorch.core.exit_codes import KILLED, STOPPED, TABLE

PAGE = Path(__file__).parents[1] / "docs" / "production.md"
_TABLE = re.compile(r"(<!-- exit codes -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str) -> str:
    """The page with the table as the code has it. Raises `ValueError` for a missing one."""
    rows = (*TABLE.values(), STOPPED, KILLED)
    lines = [
        "| code | of `run`, `retry`, `rerun` | what your scheduler should do |",
        "| --- | --- | --- |",
        *(f"| {row.codes} | {row.meaning} | {row.advice} |" for row in rows),
    ]
    text = "\n".join(lines)
    page, count = _TABLE.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the table")
    return page


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
