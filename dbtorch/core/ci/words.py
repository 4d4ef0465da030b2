"""What a result says, in words: the same in every report."""

from __future__ import annotations

from collections.abc import Iterator

from dbtorch.core.ci.changes import Change
from dbtorch.core.ci.comparison import Comparison
from dbtorch.core.ci.result import Affected, CiResult, Compared
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import and_more, many

#: What tables do that are the same, and what one does.
_HOLD = ("hold what production's do", "holds what production's does")

#: Names that a sentence lists.
_LISTED = 5


def verdict(result: CiResult) -> str:
    """Whether it works, in one sentence."""
    if result.empty:
        return "Nothing that dbt builds has changed."
    if result.ok:
        return f"It works: {many(len(result.nodes), 'node')} done in schema {result.schema}."
    failed = result.failed
    if failed:
        names = tuple(node.name for node in failed[:_LISTED])
        behind = len(result.not_done)
        rest = f"; {many(behind, 'node')} did not run" if behind else ""
        return f"It does not work: {and_more(names, len(failed))} failed{rest}."
    return (
        f"It is not done: the run is {result.state}, and {many(len(result.not_done), 'node')} did"
        " not run."
    )


def changed(result: CiResult) -> str:
    """What it changes, in one sentence."""
    own = [one for one in result.changes if one.changed and one.resource.kind is not Kind.TEST]
    logic = [one for one in own if not one.formatting]
    parts = []
    if logic:
        names = tuple(one.resource.name for one in logic[:_LISTED])
        parts.append(f"changes {and_more(names, len(logic))}")
    if len(own) > len(logic):
        parts.append(
            f"changes comments or formatting alone in {many(len(own) - len(logic), 'node')}"
        )
    if result.deleted:
        parts.append(f"deletes {and_more(result.deleted[:_LISTED], len(result.deleted))}")
    if result.steps:
        parts.append(f"changes step {and_more(result.steps[:_LISTED], len(result.steps))}")
    said = f"It {'; it '.join(parts)}." if parts else "It changes no model, seed or snapshot."
    return f"{said} {_rows(result)}".strip()


def affected(result: CiResult) -> str:
    """Who is affected, in one sentence."""
    if not result.affected:
        return "Nothing else reads what changes."
    exposures = [one for one in result.affected if one.kind is Kind.EXPOSURE]
    others = len(result.affected) - len(exposures)
    named = tuple(owned(one) for one in exposures[:_LISTED])
    parts = [f"{many(others, 'node')} downstream"] if others else []
    if exposures:
        parts.append(f"{many(len(exposures), 'exposure')}: {and_more(named, len(exposures))}")
    return f"It affects {', '.join(parts)}."


def owned(one: Affected) -> str:
    """A name, and whose it is."""
    return f"{one.name} ({one.owner})" if one.owner else one.name


def reasons(change: Change) -> str:
    """Why a node is built."""
    return ", ".join(map(str, change.reasons))


def difference(one: Compared) -> str:
    """How a model differs from production's, on one line."""
    if one.comparison is None:
        return one.note
    return "; ".join(_parts(one.comparison))


def _parts(found: Comparison) -> Iterator[str]:
    if found.same:
        yield f"the same {many(found.rows_after, 'row')}"
        return
    rows = many(found.rows_after, "row")
    by = found.rows_after - found.rows_before
    yield f"{rows} ({by:+d})" if by else rows
    for what, names in (("new", found.columns_added), ("gone", found.columns_removed)):
        if names:
            yield f"{what}: {', '.join(names)}"
    for one in found.columns_retyped:
        yield f"{one.name} was {one.before} and is {one.after}"
    yield from _row_parts(found)
    if found.note:
        yield found.note


def _row_parts(found: Comparison) -> Iterator[str]:
    if found.share < 1:
        share = f"{found.share:.0%}" if found.share >= 0.01 else _percent(found.share)
        yield f"of a sample of {share}"
    counts = {"added": found.added, "removed": found.removed, "changed": found.changed}
    for what, count in counts.items():
        if count:
            keys = found.examples.get(what, ())
            told = ", ".join(_key(key) for key in keys)
            named = f" ({', '.join(found.key)} {told}{', …' if count > len(keys) else ''})"
            yield f"{count} {what}{named if keys else ''}"
    for name, count in found.columns_changed.items():
        yield f"{name} differs in {_share(count, found.in_both)}"


def _key(key: tuple[str, ...]) -> str:
    return key[0] if len(key) == 1 else f"({', '.join(key)})"


def _share(count: int, of: int) -> str:
    return _percent(count / of if of else 0.0)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def _rows(result: CiResult) -> str:
    missed = sum(1 for one in result.compared if one.failed)
    told = f"{many(missed, 'table')} could not be compared." if missed else ""
    return f"{_differences(result)} {told}".strip()


def _differences(result: CiResult) -> str:
    compared = [one for one in result.compared if one.comparison is not None]
    if not compared:
        return ""
    differ = result.different
    if not differ:
        unknown = sum(1 for one in compared if one.comparison and not one.comparison.same)
        if unknown:
            return f"No difference from production was found; {many(unknown, 'table')} not in full."
        one = len(compared) == 1
        return f"{many(len(compared), 'table')} {_HOLD[one]}."
    names = tuple(one.name for one in differ[:_LISTED])
    return f"Other than in production: {and_more(names, len(differ))}."
