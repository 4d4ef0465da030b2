"""What `dbtorch ci` has found, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.ci.reports.findings import Finding
from dbtorch.core.ci.result import CiResult
from dbtorch.core.ci.schemas import Fate, Schema
from dbtorch.core.ci.words import affected, changed, difference, owned, reasons, verdict
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import many, took
from dbtorch.service.lint.lint import Linted, summary


def ci_json(result: CiResult) -> str:
    """The result as JSON."""
    return document(**result.to_json())


def ci_text(result: CiResult) -> str:
    """The result as text: three sentences, and then what they stand on."""
    return "\n".join(_lines(result))


def cleanup_text(found: Sequence[Schema]) -> str:
    """Schemas of pull requests, and what becomes of each."""
    if not found:
        return "There is no schema of a pull request."
    rows = [[one.name, one.pr, str(one.fate), one.why] for one in found]
    lines = table(["schema", "pull request", "", "why"], rows)
    chosen = sum(1 for one in found if one.fate is Fate.CHOSEN)
    if chosen:
        lines += ["", f"{many(chosen, 'schema')} would be dropped: say so with --yes"]
    return "\n".join(lines)


def lint_text(found: Linted) -> str:
    """A line for each finding, and how many there are."""
    return "\n".join(_findings(found))


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


def _lines(result: CiResult) -> Iterator[str]:
    yield verdict(result)
    if result.empty and not result.deleted:
        return
    yield changed(result)
    yield affected(result)
    if result.changes:
        rows = [[one.resource.name, reasons(one)] for one in result.changes]
        yield from _part("What is built", "why", rows)
    if result.compared:
        rows = [[one.name, difference(one)] for one in result.compared]
        yield from _part("Beside production", "rows", rows)
    if result.affected:
        rows = [[owned(one), str(one.kind)] for one in result.affected]
        yield from _part("Affected", "kind", rows)
    if result.stale:
        rows = [[one.name, one.message] for one in result.stale]
        yield from _part("Sources", "freshness", rows)
    if slower := [one for one in result.nodes if one.slower]:
        rows = [[one.name, f"{took(one.seconds)}, not {took(one.usual)}"] for one in slower]
        yield from _part("Slower than in production", "took", rows)


def _part(what: str, more: str, rows: list[list[str]]) -> Iterator[str]:
    yield ""
    yield from table([what, more], rows)


def _findings(found: Linted) -> Iterator[str]:
    yield from map(_finding, found.findings)
    if found.error is not None:
        yield "The project does not fit together, so nothing else was looked at."
        return
    yield f"{'OK' if found.ok else 'Not OK'}: {summary(found)}"


def _finding(one: Finding) -> str:
    line = f":{one.line}" if one.line else ""
    at = f"{one.path}{line}: " if one.path else ""
    return f"{at}{one.level}: {one.text} [{one.rule}]"
