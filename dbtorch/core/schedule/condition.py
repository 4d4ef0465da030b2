"""What a pipeline can start by, and a step can wait for, as ``dbtorch.yml`` says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any

from dbtorch.core.keys import Between, Duration, Limit, key
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.cause import CauseKind

#: Kinds of conditions, in the order of the documentation; each is the key that says it.
KINDS = (
    CauseKind.PIPELINE,
    CauseKind.ASSET,
    CauseKind.SOURCE,
    CauseKind.FILE,
    CauseKind.SQL,
    CauseKind.HTTP,
    CauseKind.WEBHOOK,
)

#: Seconds between two looks where nobody says any: what asks the history is cheap.
_EVERY = {
    CauseKind.PIPELINE: 2.0,
    CauseKind.ASSET: 2.0,
    CauseKind.FILE: 10.0,
    CauseKind.HTTP: 60.0,
    CauseKind.SQL: 300.0,
    CauseKind.SOURCE: 300.0,
}

#: Options that belong to a kind.
OPTIONS = {
    "states": (CauseKind.PIPELINE,),
    "stable": (CauseKind.FILE,),
    "marker": (CauseKind.FILE,),
    "max_age": (CauseKind.PIPELINE, CauseKind.ASSET),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Who may send requests that start a pipeline."""

    secret: str = field(
        metadata=key(
            "What requests are signed with (HMAC-SHA256), 16 characters at least; a template with"
            " `env_var`, which `serve` renders.",
            example="\"{{ env_var('DBT_ENV_SECRET_HOOK') }}\"",
        )
    )
    rate: Annotated[int, Between(1, 10_000)] = field(
        default=60, metadata=key("Requests a minute that are taken.", example="10")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that can be looked at."""

    pipeline: str = field(
        default="",
        metadata=key("A run of this pipeline, of all of it, has ended ...", example="staging"),
    )
    states: tuple[RunState, ...] = field(
        default=(RunState.SUCCESS,),
        metadata=key("... in one of these states.", default="success", example="[failed, gated]"),
    )
    asset: str = field(
        default="",
        metadata=key(
            "A model, seed, snapshot or step was updated, by a run of any pipeline.",
            example="model:fct_orders",
        ),
    )
    source: str = field(
        default="",
        metadata=key(
            "A source has newer rows, by the `loaded_at` of its freshness.", example="shop.orders"
        ),
    )
    file: str = field(
        default="",
        metadata=key(
            "A file, a pattern or (with `/` at the end) a folder with all below it: a path of the"
            " project, or a URL that fsspec knows.",
            example="landing/*.csv",
        ),
    )
    stable: Duration = field(
        default=10.0,
        metadata=key("How long no file may have changed before they count.", example="1m"),
    )
    marker: str = field(
        default="",
        metadata=key(
            "File beside them that says that they are whole, instead of `stable`.",
            example="_SUCCESS",
        ),
    )
    sql: str = field(
        default="",
        metadata=key(
            "The first value that this query answers, through dbt's connection: true, or another"
            " one than before.",
            example='"select max(id) from raw.orders"',
        ),
    )
    http: Mapping[str, Any] | None = field(
        default=None,
        metadata=key(
            "The answer to this request is as expected; text is its URL.",
            example="https://api.example/ready",
        ),
    )
    webhook: Webhook | None = field(
        default=None,
        metadata=key("`serve` has received a signed request; text is the secret."),
    )
    every: Limit | None = field(
        default=None,
        metadata=key(
            "Time between two looks.",
            default="2s; 10s for `file`, 1m for `http`, 5m for `sql` and `source`",
            example="30s",
        ),
    )
    max_age: Duration = field(
        default=0.0,
        metadata=key(
            "In `wait_for`: how long before the end of the run's data interval it may have"
            " happened.",
            example="2h",
        ),
    )

    @property
    def kind(self) -> CauseKind:
        """Which of them it is."""
        return next(kind for kind in KINDS if getattr(self, kind.value))

    @property
    def interval(self) -> float:
        """Seconds between two looks."""
        return self.every or _EVERY.get(self.kind, 60.0)

    @property
    def key(self) -> str:
        """What it is called among those of a pipeline; another one where it means another thing."""
        what = [self.pipeline, self.asset, self.source, self.file, self.marker, self.sql]
        http = sorted(map(str, (self.http or {}).items()))
        states = sorted(self.states) if self.pipeline else []
        digest = sha256(repr([*what, http, *states]).encode()).hexdigest()[:12]
        return f"{self.kind}:{digest}"

    def __str__(self) -> str:
        """For people."""
        if self.kind is CauseKind.PIPELINE:
            return f"pipeline {self.pipeline} ({', '.join(self.states)})"
        if self.kind is CauseKind.HTTP:
            return f"http {str((self.http or {}).get('url', '')).partition('?')[0]}"
        if self.kind is CauseKind.WEBHOOK:
            return "a webhook"
        said = " ".join(str(getattr(self, self.kind.value)).split())
        return f"{self.kind} {said if len(said) <= 80 else said[:79] + '…'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionSet:
    """Conditions together: all of ``all``, and one of ``any`` where there are some."""

    any: tuple[Condition, ...] = ()
    all: tuple[Condition, ...] = ()

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them."""
        return (*self.all, *self.any)

    def met(self, keys: "set[str]") -> bool:
        """Whether what holds is enough."""
        some = not self.any or any(one.key in keys for one in self.any)
        return some and all(one.key in keys for one in self.all)

    def __str__(self) -> str:
        parts = [" and ".join(map(str, self.all)), " or ".join(map(str, self.any))]
        return " and ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSpec(ConditionSet):
    """``on`` of a pipeline."""

    debounce: Duration = 0.0  # seconds in which nothing new may have come

    @property
    def webhook(self) -> Webhook | None:
        """The one that it has, if any."""
        return next((one.webhook for one in self.conditions if one.webhook is not None), None)

    @property
    def looked_at(self) -> tuple[Condition, ...]:
        """Those that somebody has to look at."""
        return tuple(one for one in self.conditions if one.webhook is None)
