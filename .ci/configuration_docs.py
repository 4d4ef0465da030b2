"""Writes the tables of ``docs/configuration.md`` from the code's own."""

from __future__ import annotations

import re
from pathlib import Path

from dbtorch.adapters.config.field_types import Key, Section
from dbtorch.adapters.config.sections import SECTIONS
from dbtorch.adapters.config.setting_keys import SETTINGS
from dbtorch.adapters.config.step_keys import STEP

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
_TABLE = re.compile(r"(<!-- keys of (?P<title>.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str) -> str:
    """The page with its tables as the code has them. Raises `ValueError` for a missing one."""
    sections = {section.title: section for section in SECTIONS}
    there = [match["title"] for match in _TABLE.finditer(page)]
    if sorted(there) != sorted(sections):
        raise ValueError(f"tables of {PAGE.name} are {there}, sections are {list(sections)}")
    return _TABLE.sub(lambda match: match[1] + table(sections[match["title"]]) + match[3], page)


def table(section: Section) -> str:
    """One section as a Markdown table; the settings that many share stand in one of them."""
    rows = ["| key | type | default | meaning | example |", "| --- | --- | --- | --- | --- |"]
    rows += [_row(key) for key in section.keys if section is not STEP or key not in SETTINGS]
    return "\n".join(rows) + "\n"


def _row(key: Key) -> str:
    example = f"`{key.name}: {key.example}`" if key.example else "see below"
    cells = [f"`{key.name}`", key.kind.name, key.default or "none", key.doc, example]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
