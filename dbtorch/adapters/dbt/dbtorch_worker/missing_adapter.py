"""An adapter that is not installed, and how it would be."""

from __future__ import annotations

import importlib.util
import sys

_ADAPTERS = "dbt.adapters."


def missing_adapter(error: BaseException | None) -> str:
    """The adapter that could not be imported, if that is why dbt has failed."""
    seen = 0
    while error is not None and seen < 20:
        name = str(getattr(error, "name", None) or "")
        if isinstance(error, ModuleNotFoundError) and name.startswith(_ADAPTERS):
            return name[len(_ADAPTERS) :].partition(".")[0]
        error, seen = error.__cause__ or error.__context__, seen + 1
    return ""


def missing(adapter: str) -> str:
    """What to do about it, in the way that this environment is made."""
    python = sys.executable
    has_pip = importlib.util.find_spec("pip") is not None
    install = f"{python} -m pip install" if has_pip else f"uv pip install --python {python}"
    return (
        f"profiles.yml asks for the adapter {adapter}, which is not installed beside dbt;"
        f" {install} dbt-{adapter}"
    )
