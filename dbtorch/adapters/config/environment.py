"""``{{ env_var('NAME', 'default') }}`` in what must be known before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbtorch.core.errors import Refused

_QUOTED = r"""(?:'([^']*)'|"([^"]*)")"""
_ENV_VAR = re.compile(
    r"\{\{-?\s*env_var\(\s*" + _QUOTED + r"\s*(?:,\s*" + _QUOTED + r"\s*)?\)\s*-?\}\}"
)


def render(text: str, environ: Mapping[str, str]) -> str:
    """The text with its variables filled in; `Refused` says why it cannot be.

    The full templates need Jinja, which takes longer to import than everything else here.
    """
    rest = _ENV_VAR.sub("", text)
    if "{{" in rest or "{%" in rest:
        raise Refused("may hold no template but {{ env_var('NAME') }}, with a default or without")

    def value(match: re.Match[str]) -> str:
        name, default = match[1] or match[2] or "", match[3] if match[4] is None else match[4]
        found = environ.get(name, default)
        if found is None:
            raise Refused(
                f"needs the environment variable {name!r}, which is not set; "
                "set it or give env_var a default"
            )
        return found

    return _ENV_VAR.sub(value, text)


def rendered(value: Any, environ: Mapping[str, str]) -> Any:
    """Settings of a notifier with their environment variables filled in. Raises `Refused`."""
    if isinstance(value, str):
        return render(value, environ) if re.search(r"\{[{%]", value) else value
    if isinstance(value, Mapping):
        return {key: rendered(part, environ) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(part, environ) for part in value]
    return value
