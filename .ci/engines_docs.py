"""Writes the table of ``docs/output.md`` from what tests have shown.

pytest -m shows --shown=shown.jsonl
python .ci/engines_docs.py shown.jsonl

With ``--check`` it writes nothing, and exits 1 where the table is another one; what could not run
on this machine is not compared.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.engines import ENGINES, Can

PAGE = Path(__file__).parents[1] / "docs" / "output.md"
_TABLE = re.compile(r"(<!-- table -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str, shown: Iterable[Mapping[str, str]]) -> str:
    """The page with the table of what was shown. Raises `ValueError` where a test has failed."""
    text = "\n".join(_table(list(shown)))
    page, count = _TABLE.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE.name} has {count} places for the table")
    return page


def _table(shown: list[Mapping[str, str]]) -> Iterator[str]:
    """A tick where tests ran and all of them passed; where none could run, nothing is known."""
    outcomes: dict[tuple[str, str], set[str]] = {}
    for one in shown:
        outcomes.setdefault((one["what"], one["engine"]), set()).add(one["outcome"])
    failed = [f"{what} of {engine}" for (what, engine), of in outcomes.items() if "failed" in of]
    if failed:
        raise ValueError(f"tests have failed: {', '.join(sorted(failed))}")
    works = {both for both, of in outcomes.items() if of - {"skipped"}}
    yield "| | " + " | ".join(f"{one.engine}, dbt {one.version}" for one in ENGINES) + " |"
    yield "| --- |" + " :-: |" * len(ENGINES)
    for can in Can:
        ticks = ("✓" if (can.name, str(one)) in works else "" for one in ENGINES)
        yield f"| {can} | " + " | ".join(ticks) + " |"


def read(path: Path) -> list[dict[str, str]]:
    """What `--shown` has written."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[1:] if name != "--check"]
    page = PAGE.read_text(encoding="utf-8")
    shown = [one for file in files for one in read(file)]
    if "--check" in sys.argv:
        shown = [{**one, "outcome": one["outcome"].replace("skipped", "claimed")} for one in shown]
    new = updated(page, shown)
    if "--check" not in sys.argv:
        PAGE.write_text(new, encoding="utf-8")
    elif new != page:
        lines = difflib.unified_diff(page.splitlines(), new.splitlines(), PAGE.name, "shown", n=0)
        sys.exit("\n".join(lines))
