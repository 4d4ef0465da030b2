"""Which artifacts dbt has written, and when."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

#: What dbt writes of a run, in its target folder.
_ARTIFACTS = ("manifest.json", "run_results.json", "sources.json")


def written_since(target_path: Path, began: datetime) -> list[Path]:
    """The artifacts that dbt has written since an execution began: those of another run stay.

    The largest is the last.
    """
    since = began.timestamp()
    manifest, results, *more = (target_path / name for name in _ARTIFACTS)
    new = [path for path in (results, *more) if changed_at(path) >= since]
    # what it belongs to may have been parsed before the execution began
    fits = manifest.is_file() and (results in new or changed_at(manifest) >= since)
    return [*new, manifest] if fits else new


def changed_at(path: Path) -> float:
    """When a file was written last, in seconds; before everything where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf
