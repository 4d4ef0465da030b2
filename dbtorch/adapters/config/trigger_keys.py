"""Keys of what a pipeline starts by, and of what a step waits for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dbtorch.adapters.config.field_types import Key, Listed, Section, Several, keys_of, section
from dbtorch.adapters.config.http_keys import HTTP
from dbtorch.adapters.config.problems import Path, Report, dotted, suggestion
from dbtorch.adapters.config.scalars import DURATION, SCALARS, TEXT, one_of
from dbtorch.core.config import Config
from dbtorch.core.errors import Refused
from dbtorch.core.model.state import RunState, State
from dbtorch.core.model.wait import Wait
from dbtorch.core.schedule.condition import (
    KINDS,
    OPTIONS,
    Condition,
    ConditionSet,
    TriggerSpec,
    Webhook,
)

WEBHOOK = section(Webhook, title="webhook", short="secret")

_NAMES = tuple(kind.value for kind in KINDS)
_ENDS = tuple(state for state in RunState if state is not RunState.RUNNING)


def _looked_at(said: dict[str, Any], at: Path, report: Report) -> dict[str, Any]:
    """A request that looks, and changes nothing; written as for an ``http`` step."""
    from dbtorch.adapters.conditions.http import problem

    if why := problem(said):
        report.wrong(at, why)
    return said


#: What is other than of an ``http`` step.
_INSTEAD: dict[str, dict[str, Any]] = {
    "headers": {"doc": "Headers."},
    "timeout": {"default": "10s"},
}

#: Keys of the request of an ``http`` condition.
REQUEST = Section(
    title="http of a condition",
    short="url",
    required=("url",),
    build=_looked_at,
    keys=(
        *(
            replace(key, **_INSTEAD.get(key.name, {}))
            for key in HTTP.keys
            if key.name in ("url", "headers", "expect", "timeout")
        ),
        Key(
            "until",
            TEXT,
            "Expression over the answer (`status`, `headers`, `text`, `json`): it holds when this"
            " is true, or another value than before.",
            default="that the status is expected",
            example='"json.version"',
        ),
    ),
)

_KEYS = keys_of(
    Condition,
    states=Several(one_of(_ENDS)),
    http=REQUEST,
    webhook=WEBHOOK,
)


#: All keys that may stand beside a condition.
_KNOWN = {*(key.name for key in _KEYS.values()), "any", "all", "debounce", "for", "then"}


def _one_kind(written: Mapping[str, Any], at: Path, report: Report) -> None:
    kinds = [name for name in _NAMES if name in written]
    if not kinds and any(name not in _KNOWN for name in written):
        return  # it is misspelt, which is told anyway
    if len(kinds) != 1:
        had = f"has {' and '.join(kinds)}; keep one, or write them under any or all"
        report.wrong(at, had if kinds else f"says no condition; give it one of {', '.join(_NAMES)}")
        return
    for name, owners in OPTIONS.items():
        if name in written and kinds[0] not in owners:
            report.wrong((*at, name), f"has no effect on {kinds[0]}; remove it")
    if "stable" in written and "marker" in written:
        report.wrong((*at, "marker"), "replaces stable; keep one of them")


def _needs(names: Iterable[str]) -> list[dict[str, list[str]]]:
    return [{"required": [name]} for name in names]


_OWNED = {name: {"anyOf": _needs(owners)} for name, owners in OPTIONS.items()}

#: One condition, for JSON Schema.
_ONE = {
    "oneOf": _needs(_NAMES),
    "dependencies": {**_OWNED, "stable": {**_OWNED["stable"], "properties": {"marker": False}}},
}

#: One, or several under ``any`` and ``all``.
_SEVERAL = {
    "oneOf": [*_ONE["oneOf"], {"anyOf": _needs(("any", "all"))}],
    "dependencies": _ONE["dependencies"],
}


def _condition(said: dict[str, Any], at: Path, report: Report) -> Condition:
    found = Condition(**said)
    try:
        _check(found)
    except Refused as error:
        report.wrong((*at, found.kind.value), str(error))
    return found


def _check(one: Condition) -> None:
    """Raise `Refused` for what can never be looked at."""
    if one.file:
        from dbtorch.adapters.conditions.files import check

        check(one.file)
    if one.source and len(one.source.split(".")) != 2:
        raise Refused(f'is "{one.source}"; expected <source>.<table>, such as shop.orders')
    if one.asset:
        from dbtorch.core.schedule.assets import check_asset

        check_asset(one.asset)


CONDITION = Section(
    title="condition",
    keys=tuple(_KEYS.values()),
    check=_one_kind,
    shape=_ONE,
    build=_condition,
)

_TOGETHER = (
    Key("any", Listed(CONDITION), "Conditions of which one is enough.", example="[{file: in/}]"),
    Key("all", Listed(CONDITION), "Conditions that must all hold.", example="[{file: in/}]"),
)

_DEBOUNCE = Key(
    "debounce",
    DURATION,
    "How long nothing new must have come before a run starts; after ten times that it starts.",
    default="0",
    example="1m",
)


def _one_or_several(written: Mapping[str, Any], at: Path, report: Report) -> None:
    own = [name for name in _NAMES if name in written]
    together = [name for name in ("any", "all") if name in written]
    if own and together:
        report.wrong((*at, own[0]), f"stands beside {together[0]}; move it into that list")
    elif own or not together:
        _one_kind(written, at, report)
    elif not any(written[name] for name in together):
        report.wrong(at, f"has an empty {together[0]}; give it a condition")
    for name in (*OPTIONS, "every") if together else ():
        if name in written:
            report.wrong((*at, name), f"belongs to a condition; move it into {together[0]}")


def conditions_of(said: dict[str, Any], at: Path, report: Report) -> dict[str, Any]:
    """What is under ``any`` and ``all``, of what was said; without those the one condition."""
    if "any" in said or "all" in said:
        found = {name: tuple(said.get(name, ())) for name in ("any", "all")}
    else:
        own = {name: said.pop(name) for name in list(said) if name in Condition.__slots__}
        found = {"any": (), "all": (_condition(own, at, report),)}
    keys = [one.key for one in (*found["any"], *found["all"])]
    if len(keys) != len(set(keys)):
        report.wrong(at, "has a condition twice; remove one of them")
    return found


def _trigger(said: dict[str, Any], at: Path, report: Report) -> TriggerSpec:
    found = TriggerSpec(debounce=said.get("debounce", 0.0), **conditions_of(said, at, report))
    hooks = [one for one in found.conditions if one.webhook is not None]
    if len(hooks) > 1 or (hooks and any(one.webhook for one in found.all) and len(found.all) > 1):
        report.wrong(at, "has a webhook together with others under all; a request starts a run")
    if any(one.max_age for one in found.conditions):
        report.wrong(at, "has max_age, which is for wait_for; remove it")
    return found


ON = Section(
    title="on",
    keys=(*_TOGETHER, _DEBOUNCE, *_KEYS.values()),
    check=_one_or_several,
    shape=_SEVERAL,
    build=_trigger,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What a step waits for, and how."""

    conditions: ConditionSet
    wait: Wait


def waiting(action: Any) -> Waiting:
    """What stands under ``wait_for``, which was looked at before."""
    found: Waiting = WAITED_FOR.read(action, (), Report(name=dotted))
    return found


def _waits(said: dict[str, Any], at: Path, report: Report) -> Waiting:
    patience, then = said.pop("patience", 3600.0), said.pop("then", "fail")
    found = ConditionSet(**conditions_of(said, at, report))
    for one in found.conditions:
        if one.webhook is not None:
            report.wrong(at, "cannot wait for a webhook; wait for what it writes, or use `on`")
        if one.source:
            report.wrong(
                at,
                f"cannot wait for source {one.source}; models that read it wait for it with"
                " freshness (on_stale: wait)",
            )
        if one.sql and len(found.conditions) > 1:
            report.wrong(at, "has sql beside others, and dbt executes that; make it another step")
    return Waiting(
        conditions=found,
        wait=Wait(
            every=min(one.interval for one in found.conditions),
            patience=patience,
            then=State.SKIPPED if then == "skip" else State.FAILED,
        ),
    )


#: What a step waits for, without its own `every`, `for` and `then`.
WAITED_FOR = Section(
    title="wait_for",
    keys=(
        *_TOGETHER,
        Key(
            "for",
            SCALARS["limit"],
            "How long it waits, from its first look.",
            default="1h",
            example="4h",
            fills="patience",
        ),
        Key(
            "then",
            one_of(("fail", "skip")),
            "What happens when that time is over.",
            default="fail",
            example="skip",
        ),
        *_KEYS.values(),
    ),
    check=_one_or_several,
    shape=_SEVERAL,
    build=_waits,
)


def check_together(config: Config, report: Report) -> None:
    """Note conditions that name what there is not, and pipelines that start each other for ever."""
    after: dict[str, tuple[str, ...]] = {}
    for name, pipeline in config.pipelines.items():
        conditions = pipeline.on.conditions if pipeline.on is not None else ()
        after[name] = tuple(one.pipeline for one in conditions if one.pipeline)
        at = ("pipelines", name, "on")
        for one in conditions:
            if wrong := named_wrongly(one, config):
                report.wrong(at, wrong)
    for name, step in config.steps.items():
        for one in waiting(step.action).conditions.conditions if step.wait is not None else ():
            if wrong := named_wrongly(one, config):
                report.wrong(("steps", name, "wait_for"), wrong)
    for name in after:
        ring = _ring(name, after)
        if ring and name == min(ring):
            report.wrong(
                ("pipelines", name, "on"),
                f"starts a ring that never ends: {' -> '.join([*ring, name])}; break it",
            )


def named_wrongly(one: Condition, config: Config) -> str:
    """What a condition names that there is not; empty when nothing is wrong."""
    if one.pipeline and one.pipeline not in (*config.pipelines, "default"):
        near = suggestion(one.pipeline, config.pipelines)
        return f'names pipeline "{one.pipeline}", which there is not; {near or "define it"}'
    kind, _, step = one.asset.partition(":")
    if kind == "step" and step not in config.steps and not config.step_modules:
        near = suggestion(step, config.steps)
        return f'names step "{step}", which there is not; {near or "define it"}'
    return ""


def _ring(start: str, after: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Pipelines from one back to itself; none where there is no such way."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for before in after.get(way[-1], ()):
            if before == start:
                return way
            if before not in seen:
                seen.add(before)
                ways.append([*way, before])
    return []


#: What of that is no condition, for the documentation.
OWN_OF_WAIT = replace(WAITED_FOR, keys=tuple(k for k in WAITED_FOR.keys if k.name not in _KEYS))
