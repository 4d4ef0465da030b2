"""How a package gets into the environment of an interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

#: What dbt 1 says where a profile asks for an adapter that it does not have.
_NO_ADAPTER = re.compile(r"Could not find adapter type (\w+)!")


def install_command(python: str, packages: Iterable[str]) -> str:
    """What to type, in the way that an interpreter's environment is made.

    ``python`` is empty where nobody knows which one it is.
    """
    if not python:
        return " ".join(("pip install", *packages))
    folder = Path(python).parent.parent
    has_pip = any((folder / "lib").glob("python3*/*-packages/pip"))
    install = f"{python} -m pip install" if has_pip else f"uv pip install --python {python}"
    return " ".join((install, *packages))


def missing_adapter(said: str, python: str) -> str:
    """What is wrong, and what to type, where dbt says that it lacks an adapter; else nothing."""
    found = _NO_ADAPTER.search(said)
    if found is None:
        return ""
    return (
        f"profiles.yml asks for the adapter {found[1]}, which is not installed beside dbt;"
        f" {install_command(python, [f'dbt-{found[1]}'])}"
    )
