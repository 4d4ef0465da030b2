"""dbtorch: the orchestrator for teams whose world is dbt.

``dbtorch.Project`` is the Python API (docs/python.md); ``step``, `Context`, `Fail`, `Retry` and
`Skip` are for the steps of a project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbtorch.core.errors import ConfigError as ConfigError
    from dbtorch.core.errors import DbtorchError as DbtorchError
    from dbtorch.core.errors import EngineError as EngineError
    from dbtorch.core.errors import NotFound as NotFound
    from dbtorch.core.errors import NothingToDo as NothingToDo
    from dbtorch.core.errors import PlanError as PlanError
    from dbtorch.core.errors import ProjectError as ProjectError
    from dbtorch.core.errors import RunCancelled as RunCancelled
    from dbtorch.core.errors import RunInProgress as RunInProgress
    from dbtorch.core.errors import SelectionError as SelectionError
    from dbtorch.core.errors import StoreError as StoreError
    from dbtorch.core.errors import UsageError as UsageError
    from dbtorch.core.model.state import RunState as RunState
    from dbtorch.core.model.state import State as State
    from dbtorch.service.api import NodeChange as NodeChange
    from dbtorch.service.api import Project as Project
    from dbtorch.service.planning.plan import Plan as Plan
    from dbtorch.service.run.handle import RunHandle as RunHandle
    from dbtorch.service.run.result import Run as Run
    from dbtorch.step import Context as Context
    from dbtorch.step import Fail as Fail
    from dbtorch.step import Retry as Retry
    from dbtorch.step import Skip as Skip
    from dbtorch.step import step as step

_HOMES = {
    "dbtorch.core.errors": (
        "ConfigError",
        "DbtorchError",
        "EngineError",
        "NotFound",
        "NothingToDo",
        "PlanError",
        "ProjectError",
        "RunCancelled",
        "RunInProgress",
        "SelectionError",
        "StoreError",
        "UsageError",
    ),
    "dbtorch.core.model.state": ("RunState", "State"),
    "dbtorch.service.api": ("NodeChange", "Project"),
    "dbtorch.service.run.handle": ("RunHandle",),
    "dbtorch.service.planning.plan": ("Plan",),
    "dbtorch.service.run.result": ("Run",),
    "dbtorch.step": ("Context", "Fail", "Retry", "Skip", "step"),
}

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]  # noqa: PLE0604  # names of the table above


def __getattr__(name: str) -> object:
    """What somebody imports, loaded when they do."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'dbtorch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
