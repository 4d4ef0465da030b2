"""What a check says: a small table, or JSON."""

from __future__ import annotations

import re
import shlex
from typing import Any

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import many
from dbtorch.service.idempotency.check import Checked
from dbtorch.service.idempotency.two_runs import Check, Compared, Verdict

_QUOTES = re.compile(r'["`]')

#: Columns that are written out.
_NAMED = 5

_HEAD = ("relation", "rows after first", "rows after second", "same content?")


def idempotency_text(checked: Checked) -> str:
    """For people."""
    check, verdict = checked.check, checked.verdict
    name = check.subject.name
    date = shown(check.run_context.interval.logical_date)
    lines = [f"{name}, twice on {check.scratch.title}, logical date {date}", ""]
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
        lines += may_ignore(verdict)
    return "\n".join(lines)


def idempotency_json(checked: Checked) -> str:
    """For programs."""
    check, verdict = checked.check, checked.verdict
    said = {
        "node": check.subject.id,
        "target": check.scratch.target,
        "place": check.scratch.title,
        "logical_date": check.run_context.interval.logical_date.isoformat(),
        "idempotent": verdict.idempotent,
        "failure": verdict.failure or None,
        "relations": [_relation(one) for one in verdict.relations],
    }
    return document(**said)


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


def may_ignore(verdict: Verdict) -> list[str]:
    """How to leave out columns that alone differ: they may say when a row was loaded."""
    found = (one.difference for one in verdict.relations)
    columns = list(dict.fromkeys(name for one in found if one for name in one.columns))
    if not columns:
        return []
    options = " ".join(f"--ignore {shlex.quote(name)}" for name in columns[:_NAMED])
    more = " …" * (len(columns) > _NAMED)
    return [f"If {'they are' if columns[1:] else 'it is'} to differ: {options}{more}"]


def _left_out(check: Check, verdict: Verdict) -> list[str]:
    """What was not looked at."""
    lines = []
    for one in verdict.relations:
        if found := _ignored(one):
            columns = many(len(found), "column")
            lines.append(f"Not compared: {columns} of {_short(one.name)}: {', '.join(found)}")
    if check.scratch.schema:
        lines.append("Not run: the project's on-run-start and on-run-end hooks")
    return lines
