"""``wait_for:`` looks at a condition again and again; what runs steps has a few threads for that.

No process is started for it. A query is executed by dbt, over the connection that it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbtorch.adapters.steps.base import Call, Command, StepError

opens_database = False


def check(action: Any) -> None:
    """Its keys have been looked at where they were read."""
    del action


def command(action: Any, call: Call) -> Command:
    """There is none."""
    del action, call
    raise StepError("wait_for has no command")


def code(action: Any, project_dir: Path) -> Iterator[Path]:
    """No file of the project is executed."""
    del action, project_dir
    return iter(())
