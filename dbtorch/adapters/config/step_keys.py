"""Keys of a step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from dbtorch.adapters.config.http_keys import HTTP
from dbtorch.adapters.config.kinds import (
    ANYTHING,
    BOOLEAN,
    CONDITION,
    FREE_TEXT,
    TEXT,
    Key,
    Kind,
    Named,
    Section,
    Several,
    Unread,
    checked_later,
)
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.setting_keys import DEADLINE_KEY, SETTINGS, said_twice

#: What dbt selects: one text or a list of them.
SELECTION = Several(TEXT)

#: The keys that say what a step does; packages add types of their own.
TYPES = (
    Key(
        "python",
        TEXT,
        "Function to call, in the project's interpreter: `module:function`.",
        example="ingestion.orders:load",
    ),
    Key(
        "command",
        checked_later("text or list"),
        "Program to execute: a list is its arguments, text goes through the shell.",
        example="[meltano, run, tap-orders]",
    ),
    Key(
        "sql",
        TEXT,
        "Statements for the warehouse, through dbt's connection.",
        example="delete from raw.orders where false",
    ),
    Key(
        "http",
        Unread(HTTP, "mapping"),
        "Request to send.",
        example='{url: "https://bi.example/refresh", method: POST}',
    ),
)

_KEYS = (
    *TYPES,
    Key(
        "produces",
        SELECTION,
        "Sources it fills; the models that read them wait for it.",
        default="nothing",
        example="[source:shop.orders]",
    ),
    Key(
        "after",
        SELECTION,
        "What it waits for: `step:<name>`, or any dbt selection.",
        default="nothing",
        example="[exposure:weekly_kpis, step:ingest_orders]",
    ),
    Key(
        "when",
        CONDITION,
        "Template; the step is skipped when it renders to nothing or to false.",
        default="always",
        example="\"{{ env_var('BI_URL', '') }}\"",
    ),
    Key(
        "params",
        Unread(Named(of=ANYTHING, pattern=r"[^\0]+", rule="is no name"), "mapping"),
        "What it is told besides the run: anything that JSON can hold.",
        default="none",
        example="{table: orders}",
    ),
    Key(
        "env",
        Named(of=FREE_TEXT, pattern=r"[^=\0]+", rule="is no name of a variable"),
        "Environment variables of its process, besides dbtorch's own.",
        default="none",
        example="{LOG_LEVEL: debug}",
    ),
    Key(
        "opens_database",
        BOOLEAN,
        "Whether it opens the project's database file itself; dbt lets go of it meanwhile.",
        default="by type",
        example="true",
    ),
    Key("description", FREE_TEXT, "What it is for.", example="Lands the orders."),
)

KNOWN = frozenset(key.name for key in (*_KEYS, *SETTINGS, DEADLINE_KEY))


def types_in(written: Mapping[str, Any]) -> list[str]:
    """Keys that say what a step does; a key that nobody knows is none."""
    types = {key.name for key in TYPES}
    if any(key not in KNOWN for key in written):
        types |= set(_installed())
    return [key for key in written if key in types]


@cache
def _installed() -> Mapping[str, Kind]:
    from dbtorch.adapters.steps.catalog import step_types

    return dict.fromkeys((name for name in step_types() if name not in KNOWN), ANYTHING)


def _check(written: Mapping[str, Any], at: Path, report: Report) -> None:
    said_twice(written, at, report)
    types = types_in(written)
    misspelt = any(key not in KNOWN and key not in types for key in written)
    if not types and not misspelt:
        words = ", ".join(key.name for key in TYPES)
        report.wrong(at, f"does not say what to do; give it one of {words}")
    if len(types) > 1:
        report.wrong(at, f"has {' and '.join(types)}; keep one, or make a step of each")


STEP = Section(
    title="steps.<name>", keys=(*_KEYS, *SETTINGS, DEADLINE_KEY), check=_check, more=_installed
)
