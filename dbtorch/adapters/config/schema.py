"""Every section of ``dbtorch.yml``: what the values of ``core`` say of their fields, and the rest.

Validation, hints about the nearest key and ``docs/configuration.md`` all come from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dbtorch.adapters.config.field_types import (
    Later,
    Listed,
    Named,
    Switch,
    Unread,
    section,
)
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.adapters.config.scalars import ANYTHING, Kind, whole
from dbtorch.adapters.config.setting_keys import (
    DEFAULTS,
    FRESHNESS,
    RETRY,
    settings,
)
from dbtorch.adapters.config.step_keys import STEP
from dbtorch.core import plan
from dbtorch.core.config import Config, EngineSpec, Origin, PipelineSpec, UiSpec
from dbtorch.core.model.policy import Breaker

#: A word that is safe in file names, selections and dotted paths.
_WORD = r"[A-Za-z_][A-Za-z0-9_-]{0,99}"
_WORD_RULE = "is no name; use letters, digits, _ and -, a letter or _ first, 100 of them at most"

#: A name that a template can speak of.
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
_NAME_RULE = "is no name; use letters, digits and _, a letter or _ first, 100 of them at most"

ENGINE = section(EngineSpec, title="engine")

UI = section(UiSpec, title="ui")


def _schedule() -> Kind:
    from dbtorch.adapters.config.schedule_keys import SCHEDULE

    return SCHEDULE


def _param() -> Kind:
    from dbtorch.adapters.config.param_keys import PARAM

    return PARAM


def _one_choice(written: Mapping[str, Any], at: Path, report: Report) -> None:
    others = [key for key in ("select", "exclude") if key in written]
    if "selector" in written and others:
        report.wrong((*at, "selector"), f"replaces {' and '.join(others)}; keep one way to choose")


def _pipeline_keys(written: Mapping[str, Any], at: Path, report: Report) -> None:
    _one_choice(written, at, report)
    if written.get("production") is True and "target" not in written:
        report.wrong(
            (*at, "production"),
            "needs target: a run on another target than production's publishes nothing",
        )


_PIPELINE_SHAPE = {
    "dependencies": {"selector": {"properties": {"select": False, "exclude": False}}},
    "if": {"properties": {"production": {"const": True}}, "required": ["production"]},
    "then": {"required": ["target"]},
}


def _partition() -> Kind:
    from dbtorch.adapters.config.schedule_keys import PARTITION

    return PARTITION


def _on() -> Kind:
    from dbtorch.adapters.config.trigger_keys import ON

    return ON


def _pipeline(said: dict[str, Any], at: Path, report: Report) -> PipelineSpec:
    return PipelineSpec(name=str(at[-1]), **said, origin=report.where(at))


PIPELINE = section(
    PipelineSpec,
    title="pipelines.<name>",
    check=_pipeline_keys,
    shape=_PIPELINE_SHAPE,
    build=_pipeline,
    kinds={
        "schedule": Later("cron or list of cron or mapping", _schedule),
        "partition": Later("mapping", _partition),
        "on": Later("mapping", _on),
        "vars": Unread(Named(of=ANYTHING, pattern=r"[^\0]+", rule="is no name"), "mapping"),
        "settings": replace(RETRY, build=settings),
        "params": Named(of=Later("anything or mapping", _param), pattern=_NAME, rule=_NAME_RULE),
    },
)


BREAKER = section(Breaker, title="circuit_breaker")

_POOLS = Named(
    of=whole(1, 1_000_000),
    pattern=_WORD,
    rule=_WORD_RULE,
    reserved={
        plan.THREADS: "is a pool of dbtorch's own; its size is dbt's --threads",
        plan.BATCHES: "is a pool of dbtorch's own; its size is engine.batches",
        plan.LOOKS: "is a pool of dbtorch's own",
        plan.STEPS: "is a pool of dbtorch's own; its size is max_steps",
    },
)

STEPS = Named(of=STEP, pattern=_WORD, rule=_WORD_RULE)


def _rules() -> Kind:
    from dbtorch.adapters.config.failure_keys import RULE

    return Listed(RULE)


def _checks() -> Kind:
    from dbtorch.adapters.config.check_keys import PATTERNS

    return PATTERNS


def _lint() -> Kind:
    from dbtorch.adapters.config.check_keys import LINT

    return LINT


def _alerts() -> Kind:
    from dbtorch.adapters.config.alert_keys import ALERTS

    return ALERTS


def _config(said: dict[str, Any], at: Path, report: Report) -> Config:
    found = Config(**said, origin=Origin(file=report.where(at).file))
    if found.ui.url and not found.ui.url.startswith(("https://", "http://")):
        report.wrong((*at, "ui", "url"), "is no address of the web; write it with https://")
    starts = any(one is not None and one.on is not None for one in found.pipelines.values())
    if starts or any(one is not None and one.wait is not None for one in found.steps.values()):
        from dbtorch.adapters.config.trigger_keys import check_together

        check_together(found, report)
    return found


ROOT = section(
    Config,
    title="dbtorch.yml",
    build=_config,
    kinds={
        "engine": ENGINE,
        "defaults": DEFAULTS,
        "pools": _POOLS,
        "failure_classes": Later("list of mapping", _rules),
        "circuit_breaker": Switch(BREAKER),
        "freshness": Switch(FRESHNESS),
        "checks": Later("mapping", _checks),
        "lint": Later("mapping", _lint),
        "alerts": Later("mapping", _alerts),
        "ui": UI,
        "steps": STEPS,
        "pipelines": Named(of=PIPELINE, pattern=_WORD, rule=_WORD_RULE),
    },
)
