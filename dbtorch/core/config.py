"""What a user may say: the values that ``dbtorch.yml``, ``meta.dbtorch`` and options come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dbtorch.core.deadline import DeadlineAction, DeadlineRule
from dbtorch.core.freshness import FreshnessSpec, GateSettings
from dbtorch.core.gate import Require
from dbtorch.core.policy import Breaker, OnFailure, Retry
from dbtorch.core.state import FailureClass

if TYPE_CHECKING:  # imported by who has any
    from dbtorch.core.checks import CheckSettings, PatternChecks
    from dbtorch.core.evidence import Rule
    from dbtorch.core.routing import AlertsSpec

#: Seconds from asking a step or a query to end to killing what runs it. With it a run that gets
#: SIGTERM ends within the ten seconds that containers are given.
GRACE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may be said about a node, on every level: defaults, step, ``meta.dbtorch``, options.

    None means that this level says nothing. Times are seconds.
    """

    retries: int | None = None  # of all classes that are worth another try, together
    retry_on: Mapping[FailureClass, int] | None = None  # of single classes, over the above
    retry_delay: float | None = None
    retry_max_delay: float | None = None
    retry_jitter: bool | None = None
    retry_budget: float | None = None
    on_failure: OnFailure | None = None
    timeout: float | None = None
    pool: str | None = None
    priority: int | None = None
    owner: str | None = None
    runbook: str | None = None
    gate: GateSettings | None = None  # of a source
    require: Require | None = None  # how many of the sources before it must be fresh
    deadline: DeadlineRule | None = None
    max_age: float | None = None  # seconds since the last success
    checks: CheckSettings | None = None  # of a source, model, seed or snapshot

    def over(self, base: Settings) -> Settings:
        """These settings, with ``base`` where they say nothing.

        Numbers of retries are merged class by class, unless ``retries`` says anew how many.
        """
        if self == _NOTHING_SAID:
            return base
        if base == _NOTHING_SAID:
            return self
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        merged = {
            name: value if value is not None else getattr(base, name)
            for name, value in mine.items()
        }
        if self.retries is not None:
            merged["retry_on"] = self.retry_on
        elif self.retry_on and base.retry_on:
            merged["retry_on"] = {**base.retry_on, **self.retry_on}
        if self.gate is not None:
            merged["gate"] = self.gate.over(base.gate)
        merged["checks"] = checks_over(self.checks, base.checks)
        return Settings(**merged)

    def retry(self) -> Retry:
        """The retry policy these settings come to."""
        default = Retry() if self.retries is None else Retry.times(self.retries)
        single = {FailureClass(name): count for name, count in (self.retry_on or {}).items()}
        limit = None if default.limit is None else max([default.limit, *single.values()])
        said: dict[str, Any] = {
            "delay": self.retry_delay,
            "max_delay": self.retry_max_delay,
            "jitter": self.retry_jitter,
            "budget": self.retry_budget,
        }
        return replace(
            default,
            retries={**default.retries, **single},
            limit=limit,
            **{name: value for name, value in said.items() if value is not None},
        )


def checks_over(mine: CheckSettings | None, base: CheckSettings | None) -> CheckSettings | None:
    """What two levels say of checks: kind by kind the nearer one counts."""
    return mine if base is None else {**base, **(mine or {})}


_NOTHING_SAID = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where something was written."""

    file: str = ""
    line: int = 0  # 1 is the first

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """A step as it was declared."""

    name: str
    type: str  # python, command, sql, http, or the name of an entry point
    action: Any  # what stood under the type's key: text, list or mapping; templates unrendered
    produces: tuple[str, ...] = ()  # dbt selections of sources, "source:shop.orders"
    after: tuple[str, ...] = ()  # "step:<name>" or any dbt selection
    when: str | None = None  # template; the step is skipped when it renders to nothing or false
    params: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    opens_database: bool | None = None  # opens the project's database file itself; None: by type
    description: str = ""
    checksum: str = ""  # of what it executes; empty until somebody has looked
    settings: Settings = field(default_factory=Settings)
    origin: Origin = field(default_factory=Origin)

    @property
    def id(self) -> str:
        """The id of its node."""
        return f"step.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a pipeline runs. A run stands for the interval between two ticks."""

    cron: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """A named selection of the graph."""

    name: str
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    selector: str | None = None
    target: str | None = None
    schedule: Schedule | None = None
    settings: Settings = field(default_factory=Settings)  # of nodes that say nothing of their own
    deadline: DeadlineRule | None = None
    deadline_action: DeadlineAction = DeadlineAction.ALERT
    max_age: float | None = None  # seconds since the start of its last run that succeeded
    owner: str = ""  # of its runs, and of nodes that nobody else owns
    description: str = ""
    origin: Origin = field(default_factory=Origin)


class EngineType(StrEnum):
    """How dbt executes nodes."""

    AUTO = "auto"  # as the dbt that is installed allows
    SESSION = "session"  # one by one, inside a dbt-core 1.x that is kept open
    PROCESS = "process"  # in batches, by any dbt executable


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """How dbt is started."""

    type: EngineType = EngineType.AUTO
    python: str | None = None  # interpreter that has dbt; None: the one dbtorch runs in
    executable: str | None = None  # of the process engine; None: the one beside the interpreter
    profiles_dir: str | None = None  # relative to the project
    batches: int = 4  # that the process engine has at work at once, where the warehouse allows it


_OWN_GATES_ONLY = FreshnessSpec(everywhere=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything in ``dbtorch.yml``; the defaults are what a project without one gets."""

    engine: EngineSpec = field(default_factory=EngineSpec)
    defaults: Settings = field(default_factory=Settings)
    pools: Mapping[str, int] = field(default_factory=dict)
    max_steps: int = 8  # steps that run at once
    steps: Mapping[str, StepSpec] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineSpec] = field(default_factory=dict)
    step_modules: tuple[str, ...] = ()  # modules whose @dbtorch.step functions are steps
    database_url: str | None = None
    grace: float = GRACE
    failure_classes: tuple[Rule, ...] = ()  # looked at before the built-in table
    circuit_breaker: Breaker | None = field(default_factory=Breaker)
    freshness: FreshnessSpec | None = _OWN_GATES_ONLY  # None: no gates
    checks: tuple[PatternChecks, ...] = ()
    alerts: AlertsSpec | None = None  # None: nobody is told
    origin: Origin = field(default_factory=Origin)
