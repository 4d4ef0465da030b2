"""Keys of ``freshness`` and those of sources in ``meta.dbtorch``, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbtorch.adapters.config import durations
from dbtorch.adapters.config.kinds import TIMEOUT, Key, Named, Scalar, Section, Switch, one_of
from dbtorch.adapters.config.problems import Path, Refused
from dbtorch.core.freshness import FreshnessSpec, GateSettings, SourceGates
from dbtorch.core.gate import Gate, OnStale, Require

_GATE = Gate()
_LAST = [found.value for found in OnStale if found is not OnStale.WAIT]


def _then(value: Any) -> OnStale:
    if value not in _LAST:
        raise Refused(f"expected one of {', '.join(_LAST)}")
    return OnStale(value)


ON_STALE = Section(
    title="on_stale",
    short="error",
    keys=(
        Key(
            "warn",
            one_of(OnStale),
            "Beyond dbt's `warn_after`.",
            default=_GATE.on_warn.value,
            example="wait",
        ),
        Key(
            "error",
            one_of(OnStale),
            "Beyond dbt's `error_after`, or when the source cannot be checked.",
            default=_GATE.on_error.value,
            example="fail",
        ),
    ),
)

GATE = (
    Key(
        "on_stale",
        ON_STALE,
        "What happens to the nodes that need a source that is not fresh: they are skipped, they"
        " fail, they run with a warning, or they wait. One word is about dbt's `error_after`.",
        default="{warn: warn, error: skip}",
        example="{warn: warn, error: wait}",
    ),
    Key(
        "every",
        TIMEOUT,
        "With `wait`: time from one check to the next.",
        default=durations.text(_GATE.every),
        example="5m",
    ),
    Key(
        "for",
        TIMEOUT,
        "With `wait`: time since the first check in which it is checked again.",
        default=durations.text(_GATE.patience),
        example="2h",
    ),
    Key(
        "then",
        Scalar(" or ".join(_LAST), _then),
        "With `wait`: what happens when that time is over.",
        default=_GATE.then.value,
        example="fail",
    ),
)

REQUIRE = Key(
    "require",
    one_of(Require),
    "Whether a node waits for `any` stale source before it, or is held back only when `all` are.",
    default=Require.ANY.value,
    example="all",
)

#: What a source, and what reads it, may say in ``meta.dbtorch`` besides the settings of all nodes.
META = Section(title="meta.dbtorch", keys=(*GATE, REQUIRE))

DEFAULT = Section(title="freshness.default", keys=(*GATE, REQUIRE))

SOURCE = Section(title="freshness.sources.<name>", keys=GATE)

FRESHNESS = Section(
    title="freshness",
    keys=(
        Key("default", DEFAULT, "Of every source that says nothing of its own."),
        Key(
            "sources",
            Named(
                of=SOURCE,
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

KEY = Key(
    "freshness",
    Switch(FRESHNESS),
    "What happens behind sources that are not fresh by dbt's rules; `false`: none is checked.",
    default="only sources with a gate in `meta.dbtorch`",
    example="{default: {on_stale: wait, for: 2h}}",
)

#: In the order of the documentation.
SECTIONS = (FRESHNESS, DEFAULT, ON_STALE, SOURCE)

_NAMES = {"every": "every", "for": "patience", "then": "then"}


def gate_settings(said: Mapping[str, Any]) -> GateSettings | None:
    """What is said about a gate; None when nothing is."""
    found = {_NAMES[key]: said[key] for key in _NAMES if key in said}
    found |= {f"on_{key}": value for key, value in said.get("on_stale", {}).items()}
    return GateSettings(**found) if found else None


def spec(
    said: Mapping[str, Any] | bool | None, where: Callable[[Path], str]
) -> FreshnessSpec | None:
    """What ``freshness`` comes to, None when it is turned off; ``where`` a pattern stands."""
    if said is None:
        return FreshnessSpec(everywhere=False)
    if not isinstance(said, Mapping):
        return None
    default = said.get("default", {})
    return FreshnessSpec(
        default=gate_settings(default) or GateSettings(),
        require=default.get("require", Require.ANY),
        sources=tuple(
            SourceGates(
                pattern=name,
                settings=gate_settings(part) or GateSettings(),
                where=where(("freshness", "sources", name)),
            )
            for name, part in said.get("sources", {}).items()
        ),
    )
