"""What a step is told: as JSON, as environment variables, as names in templates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.template import run_values

if TYPE_CHECKING:  # the process of an http step needs none of this at run time
    from dbtorch.core.model.events import Attempt
    from dbtorch.ports.steps import StepContext


def idempotency_key(context: StepContext, step: str) -> str:
    """The same for every attempt at a step for one logical date, however often it is resumed.

    What is done on one target, or for one project, is not done on another. An interval that nobody
    named is told from the next one by its end: that begins where this one does, if it failed.
    """
    ends = (context.logical_date, *([context.data_interval_end] if context.up_to_now else []))
    interval = [at.astimezone(UTC).isoformat() for at in ends]
    target = [str(context.target.get(key) or "") for key in ("name", "type", "database", "schema")]
    named = [context.project_id, context.project, *target, context.pipeline, *interval, step]
    named += [json.dumps(context.params, sort_keys=True)] if context.params else []
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def describe(
    context: StepContext, step: str, attempt: Attempt, outputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything a step may know, as JSON."""
    return {
        "run_id": context.run_id,
        "pipeline": context.pipeline,
        "step": step,
        "attempt": attempt.number,
        "logical_date": context.logical_date.isoformat(),
        "data_interval_start": _iso(context.data_interval_start),
        "data_interval_end": context.data_interval_end.isoformat(),
        "previous_success_end": _iso(context.previous_success_end),
        "partition": context.partition or None,
        "project_dir": str(context.project_dir),
        "idempotency_key": idempotency_key(context, step),
        "target": plain(dict(context.target)),
        "params": plain(dict(context.params)),  # its own come in when they are rendered
        "trigger": plain(dict(context.trigger)),
        "vars": plain(dict(context.vars)),
        "outputs": dict(outputs),
    }


def environment(told: Mapping[str, Any]) -> dict[str, str]:
    """The variables every process of a step gets, from what `describe` answered."""
    target = {
        f"DBTORCH_TARGET_{key.upper()}": str(value)
        for key, value in told["target"].items()
        if value is not None
    }
    return {
        "DBTORCH_RUN_ID": told["run_id"],
        "DBTORCH_PIPELINE": told["pipeline"],
        "DBTORCH_STEP": told["step"],
        "DBTORCH_ATTEMPT": str(told["attempt"]),
        "DBTORCH_LOGICAL_DATE": told["logical_date"],
        "DBTORCH_DATA_INTERVAL_START": told["data_interval_start"] or "",
        "DBTORCH_DATA_INTERVAL_END": told["data_interval_end"],
        "DBTORCH_PREVIOUS_SUCCESS_END": told["previous_success_end"] or "",
        "DBTORCH_PARTITION": told["partition"] or "",
        "DBTORCH_PROJECT_DIR": told["project_dir"],
        "DBTORCH_TRIGGER": str(told.get("trigger", {}).get("kind", "")),
        "DBTORCH_IDEMPOTENCY_KEY": told["idempotency_key"],
        **target,
    }


def run_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """What templates know as ``run``, from what `describe` answered."""
    return run_values(
        id=told["run_id"],
        pipeline=told["pipeline"],
        logical_date=datetime.fromisoformat(told["logical_date"]),
        data_interval_start=_time(told["data_interval_start"]),
        data_interval_end=datetime.fromisoformat(told["data_interval_end"]),
        previous_success_end=_time(told["previous_success_end"]),
        partition=told["partition"],
        params=told["params"],
        trigger=told.get("trigger", {}),
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def plain(value: Any) -> Any:
    """The value as JSON has it; what JSON does not know (a date of YAML's) becomes text."""
    return json.loads(json.dumps(value, default=str))
