"""Writes the table of ``docs/failures.md`` from the code's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dbtorch.core.failures.evidence import Rule
from dbtorch.core.failures.rules.writing import Section
from dbtorch.core.failures.table import TABLE

PAGE = Path(__file__).parents[1] / "docs" / "failures.md"
_TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str) -> str:
    """The page with the table as the code has it. Raises `ValueError` for a missing one."""
    text = "\n".join(line for section in TABLE for line in _section(section))
    page, count = _TABLE.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the table")
    return page


def _section(section: Section) -> Iterator[str]:
    yield f"\n**{section.title}**\n"
    yield "| evidence | class | meaning |"
    yield "| --- | --- | --- |"
    for rule in section.rules:
        evidence = "; ".join(_evidence(rule)).replace("|", "\\|")
        yield f"| {evidence} | {rule.failure_class.value} | [{rule.meaning}]({rule.source}) |"


def _evidence(rule: Rule) -> Iterator[str]:
    """What a rule names, in the words of ``failure_classes``."""
    for name in ("exception", "errno", "sqlstate", "exit_status", "http_status"):
        values = getattr(rule, name)
        if values:
            yield f"{name} " + ", ".join(f"`{value}`" for value in values)
    if rule.message:
        yield f"message `{rule.message}`"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
