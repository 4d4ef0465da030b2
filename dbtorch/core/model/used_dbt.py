"""Which dbt a command uses, and where it was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Where(StrEnum):
    """Where a dbt was found; the first of these that has one is taken."""

    EXECUTABLE = "engine.executable"
    NAMED = "engine.python"
    ACTIVE = "VIRTUAL_ENV"
    BESIDE = "beside the project"
    ABOVE = "above the project"
    PATH = "on the path"
    OWN = "dbtorch's own"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedDbt:
    """Which dbt a command uses, and why: ``.venv (beside the project)``."""

    path: str  # as short as it is clear
    where: Where

    def __str__(self) -> str:
        return f"{self.path} ({self.where})"
