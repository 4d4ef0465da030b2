"""Which step types there are: the built-in ones, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dbtorch.adapters.plugins import Catalog
from dbtorch.adapters.steps import command_step, dbt_cloud_step, http_step, python_step, wait_step
from dbtorch.adapters.steps.base import StepError, StepType
from dbtorch.core.config import StepSpec

#: What a type need not have; without it, it is taken to open the file.
_OPENS = "opens_database"

#: What a type need not have; without it, scripts that its text names are what it executes.
_CODE = "code"

#: Their names are keys of steps. ``sql`` is not among them: the engine runs it.
STEP_TYPES = Catalog[StepType](
    what="step type",
    group="dbtorch.steps",
    built_in={
        "python": python_step,
        "command": command_step,
        "http": http_step,
        "dbt_cloud": dbt_cloud_step,
        "wait_for": wait_step,
    },
    functions=("check", "command"),
    optional=(_CODE,),
    flags=(_OPENS,),
    error=StepError,
)


def opens_by_type(type: str) -> bool | None:
    """What a type says of the project's database file; None for nothing. Raises `StepError`."""
    said: bool | None = getattr(STEP_TYPES.find(type), _OPENS, None)
    return said


def as_its_type_says(spec: StepSpec) -> StepSpec:
    """The step, with what its type says of it where it says nothing. Raises `StepError`."""
    said = False if spec.queue else opens_by_type(spec.type)  # it is on another machine
    return spec if spec.opens_database is not None else replace(spec, opens_database=said)


def code_of(spec: StepSpec, project_dir: Path) -> Iterator[Path]:
    """Where what a step executes may be, as its type says; else the scripts that its text names."""
    own = None if spec.on_engine else getattr(STEP_TYPES.find(spec.type), _CODE, None)
    return (own or command_step.code)(spec.action, project_dir)


def check(spec: StepSpec) -> None:
    """Raise `StepError`, naming file and line, when a step can never work as it was written."""
    try:
        STEP_TYPES.find(spec.type).check(spec.action)
    except StepError as error:
        where = f"{spec.origin}: " if spec.origin.file else ""
        raise StepError(f"{where}step {spec.name}: {error}") from error
