"""A result as Markdown: for the comment at a pull request, and for the summary of a job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from dbtorch.core.ci.result import CiResult, NodeResult
from dbtorch.core.ci.words import affected, changed, difference, owned, reasons, verdict
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import State
from dbtorch.core.text.phrases import ago, many, took

#: More nodes than this are no picture.
PICTURED = 25

#: Rows of a table, and letters of a cell.
_ROWS, _CELL = 50, 300

_SPECIAL = re.compile(r"([\\`*_\[\]|~#$])")


def marker(project: str, pr: str) -> str:
    """What a comment begins with that is updated in its place; nobody sees it."""
    return f"<!-- dbtorch ci {project} {pr} -->"


def markdown(result: CiResult, now: datetime, *, most: int = 60_000) -> str:
    """The result; its first three lines say whether it works, what it changes, who is affected.

    What would make it longer than ``most`` letters is left out, the least important first.
    """
    sections = [section for section in _sections(result, now) if section]
    left_out = 0
    while len(sections) > 1 and sum(map(len, sections)) + 2 * len(sections) > most - 100:
        sections.pop()
        left_out += 1
    if left_out:
        sections.append(f"_{many(left_out, 'section')} left out: the text would be too long._")
    return "\n\n".join(sections)[:most] + "\n"


def _sections(result: CiResult, now: datetime) -> Iterator[str]:
    """The most important first."""
    mark = "✅" if result.ok else "❌"
    said = [f"{mark} **{escaped(verdict(result))}**"]
    if not result.empty or result.deleted:
        said += [escaped(changed(result)), escaped(affected(result))]
    yield "  \n".join(said)
    if result.failed:
        rows = [[one.name, one.owner, _at(one), one.message] for one in result.failed]
        yield _table(["failed", "owner", "file", "why"], rows)
    if result.not_done:
        rows = [[one.name, str(one.state), one.message] for one in result.not_done]
        yield _folded(f"{len(rows)} did not run", _table(["node", "state", "why"], rows))
    if result.compared:
        rows = [[one.name, difference(one)] for one in result.compared]
        yield _table(["beside production", "rows"], rows)
    yield _picture(result)
    if result.affected:
        rows = [[owned(one), str(one.kind)] for one in result.affected]
        yield _folded(f"{len(rows)} affected", _table(["affected", "kind"], rows))
    if result.stale:
        rows = [[one.name, one.message] for one in result.stale]
        yield _table(["source", "freshness"], rows)
    if slower := [one for one in result.nodes if one.slower]:
        rows = [[one.name, took(one.seconds), took(one.usual)] for one in slower]
        yield _table(["slower than in production", "took", "there"], rows)
    if result.notes:
        yield "\n".join(f"- {escaped(note)}" for note in result.notes)
    yield _about(result, now)
    if result.changes:
        rows = [[one.resource.name, reasons(one)] for one in result.changes]
        yield _folded(f"{len(rows)} built, and why", _table(["node", "why"], rows))


def escaped(text: str) -> str:
    """A text as Markdown shows it; it mentions nobody, and is one line."""
    said = " ".join(text.split())
    said = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", said).replace("@", "&#64;")


def _at(one: NodeResult) -> str:
    return one.path


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for row in rows[:_ROWS]:
        cells = (escaped(cell if len(cell) <= _CELL else f"{cell[:_CELL]}…") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    if len(rows) > _ROWS:
        lines.append(f"\n_and {len(rows) - _ROWS} more_")
    return "\n".join(lines)


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def _about(result: CiResult, now: datetime) -> str:
    """What it was compared with, and where it was built."""
    against = result.against
    if against is None:
        what = "Everything was built; nothing was compared with production."
    else:
        commit = f", built from commit `{against.commit[:12]}`" if against.commit else ""
        what = f"Compared with the state of production of {ago(against.at, now)}{commit}."
    name = f"[`{result.run_id}`]({result.link})" if result.link else f"`{result.run_id}`"
    run = f" Run {name}, {took(result.seconds)}." if result.run_id else ""
    return f"{what} Schema {escaped(result.schema)}, commit `{result.commit[:12]}`.{run}"


def _picture(result: CiResult) -> str:
    """What is built and what is affected; tests are left out."""
    states = {node.id: node.state for node in result.nodes}
    shown = {
        one.resource.id: one.resource.name
        for one in result.changes
        if one.resource.kind not in (Kind.TEST, Kind.UNIT_TEST)
    }
    shown |= {one.id: one.name for one in result.affected}
    edges = [(a, b) for a, b in result.edges if a in shown and b in shown]
    if not edges or len(shown) > PICTURED:
        return ""
    changed_ones = {one.resource.id for one in result.changes if one.changed}
    number = {id: f"n{place}" for place, id in enumerate(sorted(shown))}
    lines = ["```mermaid", "flowchart LR"]
    for id in sorted(shown):
        kind = _class(states.get(id), id in changed_ones)
        label = re.sub(r"[^\w .-]", " ", shown[id])
        lines.append(f'  {number[id]}["{label}"]{f":::{kind}" if kind else ""}')
    lines += [f"  {number[a]} --> {number[b]}" for a, b in edges]
    lines += [
        "  classDef changed stroke-width:3px",
        "  classDef failed stroke:#d1242f,stroke-width:3px",
    ]
    return "\n".join([*lines, "```"])


def _class(state: State | None, changed_one: bool) -> str:
    if state is State.FAILED:
        return "failed"
    return "changed" if changed_one else ""
