"""dbtorch: the orchestrator for teams whose world is dbt."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from dbtorch.step import Context as Context
    from dbtorch.step import Fail as Fail
    from dbtorch.step import Retry as Retry
    from dbtorch.step import Skip as Skip
    from dbtorch.step import step as step

__all__ = ["Context", "Fail", "Retry", "Skip", "step"]


def __getattr__(name: str) -> object:
    """What a project's own steps import, loaded when they do."""
    if name not in __all__:
        raise AttributeError(f"module 'dbtorch' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("dbtorch.step"), name)
