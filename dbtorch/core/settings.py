"""What may be said about a node: in ``defaults``, of a step, in ``meta.dbtorch``, as an option."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

from dbtorch.core.keys import Between, Duration, Limit, key
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.model.freshness import GateSettings
from dbtorch.core.model.gate import Require
from dbtorch.core.model.policy import OnFailure, Retry
from dbtorch.core.model.state import FailureClass
from dbtorch.core.text import durations

if TYPE_CHECKING:  # imported by who has any
    from dbtorch.core.checks.relation_checks import CheckSettings
    from dbtorch.core.schedule.partition import PartitionSpec

_RETRY = Retry()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may be said about a node, on every level: defaults, step, ``meta.dbtorch``, options.

    None means that this level says nothing. Times are seconds.
    """

    retries: Annotated[int, Between(0, 1000)] | None = field(
        default=None,
        metadata=key(
            "How often it is tried again after a failure that may pass; never for code and tests.",
            default="2; 1 for timeouts and unknown failures",
            example="3",
        ),
    )
    retry_on: Mapping[FailureClass, int] | None = field(  # of single classes, over the above
        default=None,
        metadata=key(
            "How often after a failure of each class; merged over those of weaker levels.",
            name="on",
            default="see below",
            example="{transient: 5, timeout: 1}",
            within="retry",
        ),
    )
    retry_budget: Duration | None = field(
        default=None,
        metadata=key(
            "After this time since the first attempt started no other one starts.",
            name="budget",
            default="no limit",
            example="30m",
            within="retry",
        ),
    )
    retry_delay: Duration | None = field(
        default=None,
        metadata=key(
            "Longest wait before the first retry; doubles with each. A random part of it is"
            " waited.",
            default=durations.text(_RETRY.delay),
            example="30s",
        ),
    )
    retry_max_delay: Duration | None = field(
        default=None,
        metadata=key(
            "The wait never gets longer than this.",
            default=durations.text(_RETRY.max_delay),
            example="10m",
        ),
    )
    retry_jitter: bool | None = field(
        default=None,
        metadata=key(
            "Wait a random part of the delay, so that many retries do not come at once.",
            name="jitter",
            default="true",
            example="false",
            within="retry",
        ),
    )
    on_failure: OnFailure | None = field(
        default=None,
        metadata=key(
            "Whether downstream nodes are skipped when it fails, or run all the same; for models"
            " dbt's own `on_error` counts, too.",
            default=OnFailure.BLOCK.value,
            example="continue",
        ),
    )
    timeout: Limit | None = field(
        default=None,
        metadata=key(
            "Longest time one attempt may run before it is cancelled.",
            default="no limit",
            example="1h",
        ),
    )
    pool: Annotated[str, "pool"] | None = field(
        default=None,
        metadata=key(
            "Pool that one slot is taken of while it runs.", default="no pool", example="warehouse"
        ),
    )
    priority: Annotated[int, Between(-1_000_000, 1_000_000)] | None = field(
        default=None,
        metadata=key(
            "Higher starts first among what is ready; ties go to the longest remaining path.",
            default="0",
            example="10",
        ),
    )
    owner: str | None = field(
        default=None,
        metadata=key(
            "Who is named when it fails.",
            default="that of the dbt group or exposure",
            example="data-eng",
        ),
    )
    runbook: str | None = field(
        default=None,
        metadata=key(
            "Where it is written what to do when it fails.", example="docs/runbooks/orders.md"
        ),
    )
    max_age: Limit | None = field(  # since the last success
        default=None,
        metadata=key(
            "How old its last success may be before `dbtorch status` calls it stale. `defaults`"
            " speak of models, seeds, snapshots and steps; sources have dbt's own freshness.",
            default="no limit",
            example="26h",
        ),
    )
    deadline: DeadlineRule | None = field(
        default=None,
        metadata=key(
            "When it is late, as a pipeline's `deadline`: this long after the start of the run, or"
            " at the first such time of day after it. dbtorch reports it and lets it finish.",
            default="none",
            example='"07:30"',
        ),
    )
    gate: GateSettings | None = None  # of a source
    require: Require | None = field(
        default=None,
        metadata=key(
            "Whether a node waits for `any` stale source before it, or is blocked only when"
            " `all` are.",
            default=Require.ANY.value,
            example="all",
        ),
    )
    checks: "CheckSettings | None" = field(
        default=None,
        metadata=key(
            "Checks of a source, model, seed or snapshot; `false` for none. See"
            " [Checks](freshness.md#check-volume-and-columns).",
            default="those of `checks` in dbtorch.yml",
            example="{row_count: 1, schema: error}",
        ),
    )
    partition: "PartitionSpec | None" = field(
        default=None,
        metadata=key(
            "Partitions of a model or snapshot, where they are not those of its pipeline. A"
            " microbatch model has its batches.",
            default="those of its pipeline",
            example="{by: month, start: 2026-01-01}",
        ),
    )

    def over(self, base: "Settings") -> "Settings":
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


def checks_over(
    mine: "CheckSettings | None", base: "CheckSettings | None"
) -> "CheckSettings | None":
    """What two levels say of checks: kind by kind the nearer one counts."""
    return mine if base is None else {**base, **(mine or {})}


_NOTHING_SAID = Settings()
