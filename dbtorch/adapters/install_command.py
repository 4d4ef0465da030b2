"""How a package gets into the environment of an interpreter."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def install_command(python: str, packages: Iterable[str]) -> str:
    """What to type, in the way that an interpreter's environment is made."""
    folder = Path(python).parent.parent
    has_pip = any((folder / "lib").glob("python3*/*-packages/pip"))
    install = f"{python} -m pip install" if has_pip else f"uv pip install --python {python}"
    return " ".join((install, *packages))
