"""What a check says: a small table, or JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from dbtorch.cli.check.twice import Check, Compared, Verdict
from dbtorch.cli.render.table import table
from dbtorch.cli.render.words import many

_QUOTES = re.compile(r'["`]')

_HEAD = ("relation", "rows after first", "rows after second", "same content?")


def as_text(check: Check, verdict: Verdict) -> str:
    """For people."""
    name = check.subject.name
    date = f"{check.occasion.logical_date:%Y-%m-%d %H:%M:%S %Z}"
    lines = [f"{name}, twice on {check.place.told}, logical date {date}", ""]
    lines += table(
        _HEAD,
        [(_short(o.name), _rows(o.first), _rows(o.second), _same(o)) for o in verdict.relations],
        right=frozenset({1, 2}),
    )
    lines += ["", *_left_out(check, verdict)]
    if verdict.failure:
        lines.append(f"{name} is not idempotent: its second run failed: {verdict.failure}")
    elif verdict.idempotent:
        lines.append(f"{name} is idempotent.")
    else:
        differ = [_short(o.name) for o in verdict.relations if o.difference is not None]
        lines.append(f"{name} is not idempotent: a second run changes {', '.join(differ)}.")
    return "\n".join(lines)


def as_json(check: Check, verdict: Verdict) -> str:
    """For programs."""
    said = {
        "node": check.subject.id,
        "target": check.place.target,
        "place": check.place.told,
        "logical_date": check.occasion.logical_date.isoformat(),
        "idempotent": verdict.idempotent,
        "failure": verdict.failure or None,
        "relations": [_relation(one) for one in verdict.relations],
    }
    return json.dumps(said, indent=2)


def _relation(one: Compared) -> dict[str, Any]:
    difference = one.difference
    return {
        "relation": one.name,
        "rows_after_first": one.first.rows if one.first else None,
        "rows_after_second": one.second.rows if one.second else None,
        "hash_after_first": one.first.hash if one.first else None,
        "hash_after_second": one.second.hash if one.second else None,
        "same": difference is None,
        "difference": str(difference) if difference else None,
        "columns": list(difference.columns) if difference else [],
        "left_out": list(_ignored(one)),
    }


def _short(name: str) -> str:
    """A relation without its database and without quotes."""
    return ".".join(_QUOTES.sub("", name).split(".")[-2:])


def _rows(content: Any) -> str:
    return "-" if content is None else f"{content.rows:,}"


def _same(one: Compared) -> str:
    return "yes" if one.difference is None else f"NO: {one.difference}"


def _ignored(one: Compared) -> tuple[str, ...]:
    content = one.second or one.first
    return content.left_out if content is not None else ()


def _left_out(check: Check, verdict: Verdict) -> list[str]:
    """What was not looked at."""
    lines = []
    for one in verdict.relations:
        if found := _ignored(one):
            columns = many(len(found), "column")
            lines.append(f"Not compared: {columns} of {_short(one.name)}: {', '.join(found)}")
    if check.place.schema:
        lines.append("Not run: the project's on-run-start and on-run-end hooks")
    return lines
