"""The state of production: what a run of a production pipeline leaves for others to compare with.

It is a folder with dbt's artifacts and `DESCRIPTION`, which says what they are of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from dbtorch.core.config import StepSpec

#: Version of `DESCRIPTION`; a later one is refused by who does not know it.
FORMAT = 1

#: The file of a state that says what it is of.
DESCRIPTION = "dbtorch.json"

#: Folder of the pointer to the newest state, and the pointer: a copy of that state's description.
LATEST, POINTER = "latest", "state.json"

#: Files of dbt that a state has, if dbt has written them.
MANIFEST, RESULTS, SOURCES = "manifest.json", "run_results.json", "sources.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionState:
    """What a run has left: from which commit, when and where it was built."""

    name: str  # of its folder: `name_of`
    run_id: str
    pipeline: str
    target: str
    published_at: datetime
    commit: str  # empty outside of git
    dirty: bool  # built from more than the commit
    dbt_version: str
    adapter: str
    dbtorch_version: str
    steps: Mapping[str, str]  # step -> `fingerprint`
    files: Mapping[str, str]  # name -> SHA-256, of every other file of it

    def to_json(self) -> str:
        """The text of `DESCRIPTION`."""
        said = {"version": FORMAT, **asdict(self), "published_at": self.published_at.isoformat()}
        return json.dumps(said, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> ProductionState:
        """Read it. Raises `ValueError` with what is wrong."""
        found = json.loads(text)
        version = found.get("version") if isinstance(found, dict) else None
        if version != FORMAT:
            raise ValueError(f"its version is {version}, and this dbtorch reads {FORMAT}")
        known: dict[str, Any] = {name: found.get(name) for name in cls.__dataclass_fields__}
        if missing := sorted(name for name, said in known.items() if said is None):
            raise ValueError(f"it has no {missing[0]}")
        return cls(**{**known, "published_at": datetime.fromisoformat(known["published_at"])})


def name_of(published_at: datetime, commit: str, run_id: str) -> str:
    """The name of a state's folder: they sort by time, and the commit can be read from it."""
    return f"{published_at:%Y%m%dT%H%M%S%fZ}_{commit[:12] or 'none'}_{run_id}"


def commit_in(name: str) -> str:
    """The first letters of the commit in a state's name; empty where there is none."""
    _, _, rest = name.partition("_")
    commit = rest.partition("_")[0]
    return "" if commit == "none" else commit


def fingerprint(spec: StepSpec) -> str:
    """Changes with what a step does; not with its retries, its owner or its description."""
    said = (
        *(spec.type, spec.action, spec.produces, spec.after, spec.when),
        *(sorted(spec.params.items()), sorted(spec.env.items()), spec.checksum),
    )
    return hashlib.sha256(repr(said).encode()).hexdigest()
