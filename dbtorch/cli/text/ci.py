"""What `dbtorch ci` has found, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbtorch.cli.text.table import table
from dbtorch.cli.text.terminal import document
from dbtorch.core.ci.result import CiResult
from dbtorch.core.ci.schemas import Fate, Schema
from dbtorch.core.ci.words import affected, changed, difference, owned, reasons, verdict
from dbtorch.core.text.phrases import many, took


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
