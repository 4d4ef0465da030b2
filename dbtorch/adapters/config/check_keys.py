"""Keys of ``checks``, in dbtorch.yml and in ``meta.dbtorch``, and of ``lint``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.config.field_types import Key, Named, Section, Several, Switch, section
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.core.checks.relation_checks import (
    CheckSettings,
    Newest,
    NullRate,
    PatternChecks,
    RowCount,
    RowCountChange,
    SameSchema,
)
from dbtorch.core.ci.lint import LintSpec


def _has_bounds(written: Mapping[str, Any], at: Path, report: Report) -> None:
    low, high = written.get("min"), written.get("max")
    if low is None and high is None:
        report.wrong(at, "says neither min nor max; give it one of them")
    elif isinstance(low, int) and isinstance(high, int) and low > high:
        report.wrong(at, f"has a min of {low} above its max of {high}")


_BOUNDS = {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]}

ROW_COUNT = section(RowCount, title="row_count", short="min", check=_has_bounds, shape=_BOUNDS)
ROW_COUNT_CHANGE = section(RowCountChange, title="row_count_change", short="percent")
NULL_RATE = section(NullRate, title="null_rate", short="column")
NEWEST = section(Newest, title="freshness of checks")
SCHEMA = section(SameSchema, title="schema", short="severity")


def _settings(said: dict[str, Any], _at: Path, _report: Report) -> CheckSettings:
    """Checks by their kind; none of a kind that is turned off."""
    return {kind: part if isinstance(part, tuple) else (part,) for kind, part in said.items()}


CHECKS = Section(
    title="checks of a relation",
    build=_settings,
    keys=(
        Key(
            "row_count",
            Switch(ROW_COUNT, off=(), on=False),
            "How many rows there are.",
            example="{min: 1}",
        ),
        Key(
            "row_count_change",
            Switch(ROW_COUNT_CHANGE, off=(), on=False),
            "How far that is from what is usual.",
            example="50%",
        ),
        Key(
            "null_rate",
            Switch(Several(NULL_RATE), off=(), on=False),
            "How many rows have no value in a column.",
            example='[{column: email, max: "5%"}]',
        ),
        Key(
            "freshness",
            Switch(Several(NEWEST), off=(), on=False),
            "How old the newest value of a column is.",
            example="{column: updated_at, max_age: 24h}",
        ),
        Key(
            "schema",
            Switch(SCHEMA, off=(), both=True),
            "Columns added, removed or of another type since the last run.",
            example="error",
        ),
    ),
)

#: Of one node, in its ``meta.dbtorch``; ``false`` is none of any kind.
OF_A_NODE = Switch(CHECKS, off={key.name: () for key in CHECKS.keys})


def _patterns(said: dict[str, Any], at: Path, report: Report) -> tuple[PatternChecks, ...]:
    return tuple(
        PatternChecks(
            pattern=name,
            sources=kind == "sources",
            checks=part,
            where=str(report.where((*at, kind, name))),
        )
        for kind in ("sources", "models")
        for name, part in said.get(kind, {}).items()
    )


_RULE = 'is no name; write "{}", with * for any text'

PATTERNS = Section(
    title="checks",
    build=_patterns,
    keys=(
        Key(
            "sources",
            Named(of=CHECKS, pattern=r"\S*[.*]\S*", rule=_RULE.format("shop.orders")),
            "Of sources, by name; `*` is any text.",
            default="none",
            example='{"shop.*": {schema: warn}}',
        ),
        Key(
            "models",
            Named(of=CHECKS, pattern=r"\S+", rule=_RULE.format("fct_orders")),
            "Of models, seeds and snapshots, by name; `*` is any text.",
            default="none",
            example='{"fct_*": {row_count: {min: 1}}}',
        ),
    ),
)

LINT = section(LintSpec, title="lint")

#: In the order of the documentation.
SECTIONS = (PATTERNS, CHECKS, ROW_COUNT, ROW_COUNT_CHANGE, NULL_RATE, NEWEST, SCHEMA, LINT)
