"""Publishing the state of production after a run that has succeeded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from dbtorch.adapters.dbt.written import written_since
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import RunRecord
from dbtorch.core.production import (
    DESCRIPTION,
    LATEST,
    MANIFEST,
    POINTER,
    RESULTS,
    ProductionState,
    fingerprint,
    name_of,
)
from dbtorch.ports.artifacts import ArtifactMissing, Artifacts, ArtifactsError
from dbtorch.service.production.place import place_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project

#: States that are kept; one of a merge base that is older than all of them is not found.
KEPT = 50

_PIECE = 1 << 20


class NotPublished(Exception):
    """The state is not published; the text says why in one sentence."""


def publish(
    project: Project,
    options: RunOptions,
    run: RunRecord,
    *,
    target_path: Path,
    began: datetime,
    now: datetime,
    hide: Scrubber,
    adds: bool = False,
) -> str:
    """Publish what dbt has written into ``target_path`` since ``began``; answers where it is.

    A run that ``adds`` to the newest state has executed a part: the results of all other nodes are
    those of that state.

    The pointer is written last, so that who reads it finds a state that is whole. Raises
    `NotPublished`.
    """
    paths = written_since(target_path, began)
    if missing := {MANIFEST, RESULTS} - {path.name for path in paths}:
        raise NotPublished(
            f"dbt has written no {min(missing)} into {target_path}; run without --no-write-json"
        )
    place = place_of(project, options, run.pipeline)
    name = name_of(now, run.git_commit, run.run_id)
    try:
        files = {path.name: path for path in paths}
        if adds:
            files[RESULTS] = _whole(place, files[RESULTS])
        digests = {file: _put(place, name, file, path, hide) for file, path in files.items()}
        state = ProductionState(
            name=name,
            run_id=run.run_id,
            pipeline=run.pipeline,
            target=run.target,
            published_at=now,
            commit=run.git_commit,
            dirty=bool(run.git_dirty),
            dbt_version=run.dbt_version,
            adapter=run.adapter,
            dbtorch_version=run.dbtorch_version,
            steps={step: fingerprint(spec) for step, spec in project.config.steps.items()},
            files=digests,
        )
        description = state.to_json().encode()
        place.put(name, DESCRIPTION, [description])
        place.put(LATEST, POINTER, [description])
        for old in sorted(set(place.runs()) - {LATEST})[:-KEPT]:
            place.remove(old)
    except (ArtifactsError, OSError) as error:
        raise NotPublished(str(error)) from error
    return f"{place.url}/{name}"


def _whole(place: Artifacts, results: Path) -> Path:
    """A file with the results of a run, and those of the newest state that it has none of."""
    earlier = results.with_name(f".earlier_{RESULTS}")
    try:
        place.get(LATEST, POINTER, earlier)
        newest = ProductionState.from_json(earlier.read_bytes())
        place.get(newest.name, RESULTS, earlier)
        before, now = (json.loads(path.read_bytes()) for path in (earlier, results))
        known = {one["unique_id"] for one in now["results"]}
        now["results"] += [one for one in before["results"] if one["unique_id"] not in known]
        earlier.write_text(json.dumps(now))
    except (ArtifactMissing, ValueError, KeyError, TypeError):
        return results  # how long nodes took is all that is lost
    return earlier


def _put(place: Artifacts, name: str, file: str, path: Path, hide: Scrubber) -> str:
    """Upload a file without secrets; answers its digest."""
    digest = hashlib.sha256()

    def noted(pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            yield piece

    with path.open("rb") as content:
        place.put(name, file, noted(hide.stream(iter(lambda: content.read(_PIECE), b""))))
    return digest.hexdigest()
