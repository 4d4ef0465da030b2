"""What artifacts say of how dbt was called: as somebody would have called it, not as we do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from .scrubbing import scrub
from .typed_args import typed_words

#: Options of ours, and what dbt has where nobody says anything.
_DEFAULTS: dict[str, Any] = {
    "log_level": "info",
    "log_level_file": "debug",
    "use_colors": True,
    "use_colors_file": True,
}

_WORDS = {"1": True, "true": True, "0": False, "false": False}


def call_it(asked: Sequence[str]) -> None:
    """Let dbt take these for the words of its command line, of which it writes in artifacts."""
    sys.argv[:] = typed_words(list(map(scrub, asked)))


def correct(args: dict[str, Any], ours: Sequence[str]) -> None:
    """Put back what we have overridden (``--log-level`` and so on) by what would be there."""
    from dbt.config.project import read_project_flags

    project = read_project_flags(args.get("project_dir") or ".", args.get("profiles_dir") or ".")
    names = [option.removeprefix("--").removeprefix("no-").replace("-", "_") for option in ours]
    more = ["use_colors_file"] if "use_colors" in names else []  # which dbt lets go along
    for name in (*names, *more):
        said = os.environ.get(f"DBT_{name.upper()}")
        found = _WORDS.get(said.lower(), said) if said else getattr(project, name, None)
        args[name] = _DEFAULTS.get(name) if found is None else found
