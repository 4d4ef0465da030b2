"""Keys that may stand on every level, of gates, and of retries: what ``Settings`` come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dbtorch.adapters.config.field_types import Key, Later, Named, Section, keys_of
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.scalars import Kind
from dbtorch.core.model.freshness import FreshnessSpec, GateSettings, SourceGates
from dbtorch.core.model.policy import Retry
from dbtorch.core.model.state import FailureClass
from dbtorch.core.settings import Settings


def settings(said: dict[str, Any], _at: Path = (), _report: Report | None = None) -> Settings:
    """Settings of their fields, and of those of a gate."""
    mine = Settings.__dataclass_fields__
    gate = {name: value for name, value in said.items() if name not in mine}
    own = {name: value for name, value in said.items() if name in mine}
    return Settings(**own, gate=_gate(gate) if gate else None)


def _gate(said: Mapping[str, Any]) -> GateSettings:
    mine = GateSettings.__dataclass_fields__
    return GateSettings(**{name: value for name, value in said.items() if name in mine})


def _checks() -> Kind:
    from dbtorch.adapters.config.check_keys import OF_A_NODE

    return OF_A_NODE


def _partition() -> Kind:
    from dbtorch.adapters.config.schedule_keys import PARTITION

    return PARTITION


_GATE = keys_of(GateSettings)
_KEYS = keys_of(
    Settings,
    retry_on=Section(title="retry.on", keys=()),  # which needs the key of retries
    checks=Later("false or mapping", _checks),
    partition=Later("mapping", _partition),
)

_CLASSES = {
    FailureClass.TRANSIENT: "What may work a moment later: connection, lock, rate limit.",
    FailureClass.TIMEOUT: "It took longer than it may.",
    FailureClass.UNKNOWN: "Nobody can tell why.",
    FailureClass.DATA: "A constraint or a contract was broken, a row is bad, a test failed.",
    FailureClass.CODE: "SQL, Jinja or Python is wrong, or a permission is missing.",
}

RETRY_ON = Section(
    title="retry.on",
    keys=tuple(
        Key(
            found.value,
            _KEYS["retries"].kind,
            doc,
            default=str(Retry().retries.get(found, 0)),
            example="1",
        )
        for found, doc in _CLASSES.items()
    ),
)
_KEYS["retry_on"] = replace(_KEYS["retry_on"], kind=RETRY_ON)

#: Retries in one, without the word before each of them.
RETRY = Section(
    title="retry",
    keys=tuple(
        replace(key, name=key.name.removeprefix("retry_"))
        for name, key in _KEYS.items()
        if name.startswith("retr")
    ),
)

RETRY_KEY = Key(
    "retry",
    RETRY,
    "The three keys above in one, and more.",
    example="{on: {transient: 5, timeout: 1}, budget: 30m, delay: 30s}",
    fills=None,
)

ON_STALE = Section(
    title="on_stale",
    short="error",
    keys=tuple(key for key in _GATE.values() if key.within == "on_stale"),
)

#: What is said of a source that is not fresh, and of what needs it.
GATE = (
    Key(
        "on_stale",
        ON_STALE,
        "What happens to the nodes that need a source that is not fresh: they are skipped, they"
        " fail, they run with a warning, or they wait. One word is about dbt's `error_after`.",
        default="{warn: warn, error: skip}",
        example="{warn: warn, error: wait}",
        fills=None,
    ),
    *(key for key in _GATE.values() if not key.within),
)

#: What a step or a node of dbt may say for itself alone.
DEADLINE_KEY = _KEYS["deadline"]

#: What a model may say of its partitions.
PARTITION_KEY = _KEYS["partition"]

_OF_ONE = ("deadline", "require", "checks", "partition")
_OF_ALL = [key for name, key in _KEYS.items() if not key.within and name not in _OF_ONE]

SETTINGS = (*_OF_ALL[:3], RETRY_KEY, *_OF_ALL[3:])


def said_twice(written: Mapping[str, Any], at: Path, report: Report) -> None:
    """``retry: {delay: …}`` and ``retry_delay`` are the same thing: only one of them may stand."""
    said = written.get("retry")
    short: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    for key in RETRY.keys:
        long = key.fills or key.name
        if key.name in short and long in written:
            report.wrong((*at, long), f"says the same as retry.{key.name}; keep one of them")


#: The same for JSON Schema.
ONCE = {
    "dependencies": {
        key.fills or key.name: {"properties": {"retry": {"properties": {key.name: False}}}}
        for key in RETRY.keys
        if (key.fills or key.name) in {one.name for one in SETTINGS}
    }
}

#: What a source, and what reads it, may say in ``meta.dbtorch`` besides the settings of all nodes.
OF_A_NODE = (DEADLINE_KEY, *GATE, _KEYS["require"])

META = Section(
    title="meta.dbtorch",
    keys=(*SETTINGS, *OF_A_NODE, _KEYS["checks"], PARTITION_KEY),
    check=said_twice,
    shape=ONCE,
    build=settings,
)
DEFAULTS = Section(title="defaults", keys=SETTINGS, check=said_twice, shape=ONCE, build=settings)


def _freshness(said: dict[str, Any], _at: Path, _report: Report) -> FreshnessSpec:
    default = said.get("default", {})
    only = {"require": default["require"]} if "require" in default else {}
    sources = tuple(said.get("sources", {}).values())
    return FreshnessSpec(default=_gate(default), sources=sources, **only)


def _source(said: dict[str, Any], at: Path, report: Report) -> SourceGates:
    return SourceGates(pattern=str(at[-1]), settings=_gate(said), where=str(report.where(at)))


FRESHNESS_DEFAULT = Section(title="freshness.default", keys=(*GATE, _KEYS["require"]))
FRESHNESS_SOURCE = Section(title="freshness.sources.<name>", keys=GATE, build=_source)

FRESHNESS = Section(
    title="freshness",
    build=_freshness,
    keys=(
        Key("default", FRESHNESS_DEFAULT, "Of every source that says nothing of its own."),
        Key(
            "sources",
            Named(
                of=FRESHNESS_SOURCE,
                pattern=r"\S*[.*]\S*",
                rule='is no source; write "shop.orders", or "shop.*" for several',
            ),
            "Of single sources, by name; `*` is any text. A name wins over patterns, `meta.dbtorch`"
            " of the source over both.",
            default="none",
            example='{"shop.orders": {on_stale: wait, for: 2h}, "crm.*": {on_stale: warn}}',
        ),
    ),
)
