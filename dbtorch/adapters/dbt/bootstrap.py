"""How an interpreter that has dbt, and need not have dbtorch, is started with dbtorch's worker."""

from __future__ import annotations

from pathlib import Path


def bootstrap(module: str, call: str) -> tuple[str, str]:
    """Words for an interpreter: import a module of the worker by its path, and call it.

    They leave nothing of this folder on the project's import path.
    """
    code = (
        # With -c Python looks in the current folder first; dbt's own command does not.
        "import sys; sys.path[:] = [path for path in sys.path if path]; "
        f"sys.path.insert(0, {str(Path(__file__).parent)!r}); import dbtorch_worker.{module}; "
        f"sys.path.pop(0); dbtorch_worker.{module}.{call}"
    )
    return ("-c", code)
