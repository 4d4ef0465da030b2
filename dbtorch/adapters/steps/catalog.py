"""Which step types there are: the built-in ones, and those of other packages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbtorch.adapters.steps import command_step, http_step, python_step
from dbtorch.adapters.steps.base import StepError, StepType
from dbtorch.core.config import StepSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Entry points of this group are step types; the name is the key in ``dbtorch.yml``.
GROUP = "dbtorch.steps"

BUILT_IN: Mapping[str, StepType] = {
    "python": python_step,
    "command": command_step,
    "http": http_step,
}


def step_types() -> tuple[str, ...]:
    """Names of all step types, nothing loaded. ``sql`` is not among them: the engine runs it."""
    return (*BUILT_IN, *sorted(set(_installed()) - set(BUILT_IN)))


def find(type: str) -> StepType:
    """The step type of that name. Raises `StepError` when there is none, or it does not load."""
    if type in BUILT_IN:
        return BUILT_IN[type]
    installed = _installed()
    if type not in installed:
        near = difflib.get_close_matches(type, step_types(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(step_types())}"
        raise StepError(f"there is no step type {type!r}; {hint}")
    return _load(installed[type])


def check(spec: StepSpec) -> None:
    """Raise `StepError`, naming file and line, when a step can never work as it was written."""
    try:
        find(spec.type).check(spec.action)
    except StepError as error:
        where = f"{spec.origin}: " if spec.origin.file else ""
        raise StepError(f"{where}step {spec.name}: {error}") from error


def _installed() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> StepType:
    source = f"step type {entry.name!r} ({entry.value})"
    try:
        found: StepType = entry.load()
    except Exception as error:
        raise StepError(f"{source} cannot be loaded: {type(error).__name__}: {error}") from error
    for function in ("check", "command"):
        if not callable(getattr(found, function, None)):
            raise StepError(f"{source} has no function {function!r}")
    return found
