"""From what sections said to the values everybody else works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.config import freshness_keys
from dbtorch.adapters.config.problems import Path
from dbtorch.adapters.config.setting_keys import LONG_NAMES
from dbtorch.adapters.config.step_keys import KNOWN, TYPES
from dbtorch.core.config import (
    Config,
    EngineSpec,
    Origin,
    PipelineSpec,
    Schedule,
    Settings,
    StepSpec,
)
from dbtorch.core.evidence import Rule
from dbtorch.core.policy import Breaker

if TYPE_CHECKING:
    from dbtorch.core.checks import PatternChecks

_SETTINGS = Settings.__dataclass_fields__.keys()
_PIPELINE = (
    "select", "exclude", "selector", "target", "deadline", "deadline_action", "max_age", "owner",
    "description",
)  # fmt: skip
_STEP_FIELDS = ("produces", "after", "when", "params", "env", "opens_database", "description")


def settings(said: Mapping[str, Any]) -> Settings:
    """Settings, with ``retry: {…}`` taken apart."""
    short = {LONG_NAMES[key]: value for key, value in said.get("retry", {}).items()}
    gate = freshness_keys.gate_settings(said)
    checks = None
    if "checks" in said:
        from dbtorch.adapters.config import check_keys

        checks = check_keys.settings(said["checks"])
    others = _only(said, _SETTINGS - {"checks"})
    return Settings(**short, gate=gate, checks=checks, **others)


def step(name: str, said: Mapping[str, Any], origin: Origin) -> StepSpec:
    """A step that has exactly one type."""
    types = {key.name for key in TYPES}
    type = next(key for key in said if key in types or key not in KNOWN)
    return StepSpec(
        name=name,
        type=type,
        action=said[type],
        settings=settings(said),
        origin=origin,
        **_only(said, _STEP_FIELDS),
    )


def pipeline(name: str, said: Mapping[str, Any], origin: Origin) -> PipelineSpec:
    """A pipeline."""
    schedule = Schedule(**said["schedule"]) if "schedule" in said else None
    return PipelineSpec(
        name=name,
        schedule=schedule,
        settings=settings(_only(said, ("retry",))),
        origin=origin,
        **_only(said, _PIPELINE),
    )


def rule(said: Mapping[str, Any]) -> Rule:
    """An entry of ``failure_classes``."""
    evidence = {key: value for key, value in said.items() if key != "class"}
    return Rule(failure_class=said["class"], **evidence)


def breaker(said: Mapping[str, Any] | bool) -> Breaker | None:
    """The circuit breaker; None when it is turned off."""
    return Breaker(**said) if isinstance(said, Mapping) else None


def config(
    said: Mapping[str, Any],
    steps: Mapping[str, StepSpec],
    pipelines: Mapping[str, PipelineSpec],
    origin: Origin,
    where: Callable[[Path], str] = lambda _: "",
) -> Config:
    """All of it; ``where`` a key stands, for what is found wrong later."""
    checks: tuple[PatternChecks, ...] = ()
    if "checks" in said:
        from dbtorch.adapters.config import check_keys

        checks = check_keys.patterns(said["checks"], where)
    alerts = None
    if "alerts" in said:
        from dbtorch.adapters.config import alert_keys

        alerts = alert_keys.spec(said["alerts"])
    return Config(
        engine=EngineSpec(**said.get("engine", {})),
        defaults=settings(said.get("defaults", {})),
        steps=steps,
        pipelines=pipelines,
        failure_classes=tuple(rule(part) for part in said.get("failure_classes", ())),
        circuit_breaker=breaker(said.get("circuit_breaker", {})),
        freshness=freshness_keys.spec(said.get("freshness"), where),
        checks=checks,
        alerts=alerts,
        origin=origin,
        **_only(said, ("pools", "max_steps", "step_modules", "database_url", "grace")),
    )


def _only(said: Mapping[str, Any], keys: Any) -> dict[str, Any]:
    return {key: said[key] for key in keys if key in said}
