"""What lint has found, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from dbtorch.cli.text.terminal import document
from dbtorch.core.ci.reports.findings import Finding
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import many
from dbtorch.service.lint.lint import Linted, summary


def lint_text(found: Linted) -> str:
    """A line for each finding, and how many there are."""
    return "\n".join(_lines(found))


def lint_json(found: Linted) -> str:
    """The same for programs."""
    return document(
        ok=found.ok,
        findings=[asdict(one) for one in found.findings],
        known=[asdict(one) for one in found.known],
        gone=list(found.gone),
    )


def validated_text(found: Linted) -> str:
    """That everything fits together, and how much there is of it."""
    opening = found.opening
    assert opening is not None
    kinds = [node.kind for node in opening.planned.plan.graph.nodes.values()]
    steps = kinds.count(Kind.STEP)
    inside = len([k for k in kinds if k not in (Kind.STEP, Kind.SESSION, Kind.OPERATION)])
    told = len(opening.selected.warnings)
    warned = f", {many(told, 'warning')} of dbt" if told else ""
    count = len(found.findings)
    could = f", {many(count, 'finding')} (`dbtorch ci --lint` lists them)" if count else ""
    return (
        f"OK: {many(inside, 'dbt node')} and {many(steps, 'step')} on target "
        f"{opening.selected.target['name']} ({opening.selected.adapter}){warned}{could}"
    )


def _lines(found: Linted) -> Iterator[str]:
    yield from map(_line, found.findings)
    if found.error is not None:
        yield "The project does not fit together, so nothing else was looked at."
        return
    yield f"{'OK' if found.ok else 'Not OK'}: {summary(found)}"


def _line(one: Finding) -> str:
    line = f":{one.line}" if one.line else ""
    at = f"{one.path}{line}: " if one.path else ""
    return f"{at}{one.level}: {one.text} [{one.rule}]"
