"""What a step is told, as it is written for a worker of another machine, and read there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.steps.context import plain
from dbtorch.adapters.steps.outcome import failed
from dbtorch.core.model.state import FailureClass
from dbtorch.ports.steps import StepContext

if TYPE_CHECKING:
    from dbtorch.core.config import StepSpec
    from dbtorch.core.failures.scrub import Scrubber
    from dbtorch.core.model.events import Outcome

#: Times of a context, which JSON has none of.
_TIMES = ("logical_date", "data_interval_start", "data_interval_end", "previous_success_end")

#: What is the worker's own.
_ITS_OWN = "project_dir"

_OUTPUTS = "outputs"


def carried(
    spec: StepSpec, context: StepContext, outputs: Mapping[str, Any], hide: Scrubber
) -> Mapping[str, Any] | Outcome:
    """All that a step is told, as JSON; a failure where a secret of it would be written."""
    said = {
        field.name: getattr(context, field.name)
        for field in fields(context)
        if field.name != _ITS_OWN
    }
    for name in _TIMES:
        said[name] = None if said[name] is None else said[name].isoformat()
    told: dict[str, Any] = plain({**said, _OUTPUTS: dict(outputs)})
    secret = _secret(told, hide)
    if not secret:
        return told
    return failed(
        f"step {spec.name} is for queue {spec.queue}, and {secret} holds a secret, which is not"
        " written to the history that workers read: give it to them in an environment variable",
        FailureClass.CODE,
    )


def context_of(told: Mapping[str, Any], project_dir: Path) -> tuple[StepContext, dict[str, Any]]:
    """The context of a step, and the outputs of others, as a worker has them."""
    said = {field.name: told[field.name] for field in fields(StepContext) if field.name in told}
    for name in _TIMES:
        said[name] = None if said[name] is None else datetime.fromisoformat(said[name])
    return StepContext(**said, project_dir=project_dir), dict(told[_OUTPUTS])


def _secret(told: Mapping[str, Any], hide: Scrubber) -> str:
    """Which of what a step is told holds a secret; nothing if none does."""
    for name, value in told.items():
        if hide.json(value) != value:
            within = value.items() if isinstance(value, Mapping) else ()
            for key, inner in within:
                if hide.json({key: inner}) != {key: inner}:
                    return f"{name}.{key}"
            return name
    return ""
