"""Keys of a step, and the step that they come to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from dbtorch.adapters.config.field_types import Key, Later, Named, Section, Unread, keys_of
from dbtorch.adapters.config.http_keys import DBT_CLOUD, HTTP
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.scalars import ANYTHING, FREE_TEXT, TEXT, Kind, checked_later
from dbtorch.adapters.config.setting_keys import DEADLINE_KEY, ONCE, SETTINGS, said_twice, settings
from dbtorch.core.config import SQL, WAIT, StepSpec


class Action:
    """What a step of one type is to do."""

    def __init__(self, type: str, of: Kind) -> None:
        self.type, self.of = type, of

    @property
    def name(self) -> str:
        """As of its value."""
        return self.of.name

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any]:
        """The fields of the step that it fills."""
        return {"type": self.type, "action": self.of.read(value, at, report)}


def _type(name: str, kind: Kind, doc: str = "", example: str = "") -> Key:
    return Key(name, Action(name, kind), doc, example=example, fills=None)


def _waited_for() -> Kind:
    from dbtorch.adapters.config.trigger_keys import WAITED_FOR

    return WAITED_FOR


#: The keys that say what a step does; packages add types of their own.
TYPES = (
    _type(
        "python",
        TEXT,
        "Function to call, in the project's interpreter: `module:function`.",
        "ingestion.orders:load",
    ),
    _type(
        "command",
        checked_later("text or list", {"type": ["string", "array"]}),
        "Program to execute: a list is its arguments, text goes through the shell.",
        "[meltano, run, tap-orders]",
    ),
    _type(
        SQL,
        TEXT,
        "Statements for the warehouse, through dbt's connection.",
        "delete from raw.orders where false",
    ),
    _type(
        "http",
        Unread(HTTP, "mapping"),
        "Request to send.",
        '{url: "https://bi.example/refresh", method: POST}',
    ),
    _type(
        "dbt_cloud",
        Unread(DBT_CLOUD, "mapping"),
        "Job of the dbt platform to run.",
        "{account: 12345, job: 67890}",
    ),
    _type(
        WAIT,
        Unread(Later("mapping", _waited_for), "mapping"),
        "Condition to wait for, as for a pipeline's `on`; see [Wait for events](steps.md#wait"
        "-for-events).",
        "{file: landing/orders.csv, for: 2h, then: skip}",
    ),
)

_KEYS = (
    *TYPES,
    *keys_of(
        StepSpec,
        params=Unread(Named(of=ANYTHING, pattern=r"[^\0]+", rule="is no name"), "mapping"),
        env=Named(of=FREE_TEXT, pattern=r"[^=\0]+", rule="is no name of a variable"),
    ).values(),
)

KNOWN = frozenset(key.name for key in (*_KEYS, *SETTINGS, DEADLINE_KEY))


@cache
def _installed() -> tuple[Key, ...]:
    """Types of other packages."""
    from dbtorch.adapters.steps.catalog import STEP_TYPES

    return tuple(_type(name, ANYTHING) for name in STEP_TYPES.names() if name not in KNOWN)


def types() -> tuple[Key, ...]:
    """All keys that say what a step does."""
    return (*TYPES, *_installed())


def _check(written: Mapping[str, Any], at: Path, report: Report) -> None:
    said_twice(written, at, report)
    unknown = any(key not in KNOWN for key in written)
    known = {key.name for key in (types() if unknown else TYPES)}
    said = [key for key in written if key in known]
    misspelt = any(key not in KNOWN and key not in said for key in written)
    if not said and not misspelt:
        words = ", ".join(key.name for key in TYPES)
        report.wrong(at, f"does not say what to do; give it one of {words}")
    if len(said) > 1:
        report.wrong(at, f"has {' and '.join(said)}; keep one, or make a step of each")
    for key in ("params", "env") if said == [SQL] else ():
        if key in written:
            report.wrong((*at, key), "has no effect on a sql step, which dbt renders: use var()")
    _check_queue(written, said, at, report)


#: What a queue may be called: part of a name in the database, which holds 128 characters.
_QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _check_queue(written: Mapping[str, Any], types: list[str], at: Path, report: Report) -> None:
    """A queue is of workers, who have processes and no connection of dbt's."""
    if "queue" not in written:
        return
    here = [type for type in types if type in (SQL, WAIT)]
    if here:
        report.wrong((*at, "queue"), f"has no effect on a {here[0]} step, which needs no worker")
    name = written["queue"]
    if isinstance(name, str) and not _QUEUE.fullmatch(name):
        report.wrong((*at, "queue"), "is no name of a queue: take letters, digits and _ . -")


def _step(said: dict[str, Any], at: Path, report: Report) -> StepSpec:
    """The step, when its type has looked at what it is to do."""
    mine = StepSpec.__dataclass_fields__
    own = {name: value for name, value in said.items() if name in mine}
    others = {name: value for name, value in said.items() if name not in mine}
    name = str(at[-1])
    spec = StepSpec(name=name, **own, settings=settings(others), origin=report.where(at))
    if spec.type == WAIT:
        from dbtorch.adapters.config.trigger_keys import waiting

        spec = replace(spec, wait=waiting(spec.action).wait)
    if spec.on_engine:
        return spec  # dbt's connection takes any SQL
    from dbtorch.adapters.steps.base import StepError
    from dbtorch.adapters.steps.catalog import STEP_TYPES, as_its_type_says

    try:
        STEP_TYPES.find(spec.type).check(spec.action)
        return as_its_type_says(spec)
    except StepError as error:
        report.add((*at, spec.type), f"step {name}: {error}")
        return spec


STEP = Section(
    title="steps.<name>",
    keys=(*_KEYS, *SETTINGS, DEADLINE_KEY),
    check=_check,
    shape={
        "dependencies": {
            **ONCE["dependencies"],
            SQL: {"properties": {"params": False, "env": False}},
        }
    },
    more=_installed,
    build=_step,
)
