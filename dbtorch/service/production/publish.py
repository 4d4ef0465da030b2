"""Publishing the state of production after a run that has succeeded."""

from __future__ import annotations

import hashlib
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
from dbtorch.ports.artifacts import Artifacts, ArtifactsError
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
) -> str:
    """Publish what dbt has written into ``target_path`` since ``began``; answers where it is.

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
        digests = {path.name: _put(place, name, path, hide) for path in paths}
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


def _put(place: Artifacts, name: str, path: Path, hide: Scrubber) -> str:
    """Upload a file without secrets; answers its digest."""
    digest = hashlib.sha256()

    def noted(pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            digest.update(piece)
            yield piece

    with path.open("rb") as file:
        place.put(name, path.name, noted(hide.stream(iter(lambda: file.read(_PIECE), b""))))
    return digest.hexdigest()
