"""Finding the state of production, and fetching it to where dbt can read it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.adapters.artifacts.dbt_cloud import of_job
from dbtorch.core.errors import UsageError
from dbtorch.core.production import (
    DESCRIPTION,
    LATEST,
    MANIFEST,
    POINTER,
    RESULTS,
    SOURCES,
    ProductionState,
    commit_in,
)
from dbtorch.core.text.durations import text as duration
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import ago
from dbtorch.ports.artifacts import ArtifactMissing, Artifacts, ArtifactsError

#: What to do where no state can be used.
FULL = "or build everything with --no-state full"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundState:
    """A state of production that is here to be read."""

    folder: Path  # for dbt's `--state`
    url: str  # where it was found
    at: datetime  # when it was published or, of a bare folder, when its manifest was written
    dbt_version: str
    published: ProductionState | None  # None for a folder that only has dbt's artifacts

    @property
    def commit(self) -> str:
        """What it was built from; empty where nobody knows."""
        return self.published.commit if self.published is not None else ""


class NoState(UsageError):
    """There is no state of production that can be used; the text says what to do."""


class OldState(NoState):
    """There is one, and it is older than somebody wants."""


def find_state(
    place: Artifacts, to: Path, *, base: Collection[str] = (), pipeline: str = ""
) -> FoundState:
    """Fetch the newest state of a place into the folder ``to``.

    With ``base``, commits that a change was made from, the newest of these, and else the newest of
    all. A place may be a folder with dbt's artifacts alone. Raises `NoState`.
    """
    to.mkdir(parents=True, exist_ok=True)
    for name in (MANIFEST, RESULTS, SOURCES):  # of another state that was here
        (to / name).unlink(missing_ok=True)
    try:
        latest = _described(place, LATEST, POINTER, to)
        if latest is None:
            return _bare(place, to, pipeline)
        state = _of_base(place, latest, base, to) if base else latest
        return _fetched(place, state, to)
    except ArtifactsError as error:
        raise NoState(f"the state of production cannot be read: {error}") from error


def open_state(url: str, project_dir: Path, environ: Mapping[str, str] = os.environ) -> Artifacts:
    """The place that ``--state`` names: a folder, a URL that fsspec knows, or a job of dbt Cloud.

    A folder counts from the project's where it is relative, as in dbt. A job is named by the
    address of its page. Raises `UsageError`.
    """
    if (job := of_job(url, environ)) is not None:
        return job
    try:
        return open_artifacts(url, "", project_dir)
    except UsageError as error:
        raise UsageError(str(error).replace("--artifacts-url", "--state")) from error


def refuse_old(found: FoundState, max_age: float | None, now: datetime) -> None:
    """Raise `OldState` for a state that is older than ``max_age`` seconds."""
    if max_age is None or (now - found.at).total_seconds() <= max_age:
        return
    raise OldState(
        f"the state of production at {found.url} was published {ago(found.at, now)}"
        f" ({shown(found.at)}), which is older than --max-state-age {duration(max_age)}: let"
        f" production succeed once more, allow an older one, {FULL}"
    )


def _of_base(
    place: Artifacts, latest: ProductionState, base: Collection[str], to: Path
) -> ProductionState:
    """The newest state that was built from one of these commits; the latest where there is none."""
    known = {commit[:12] for commit in base}
    try:
        names = [name for name in place.runs() if name != LATEST and name <= latest.name]
    except ArtifactsError:  # a web server that lists nothing
        return latest
    for name in sorted(names, reverse=True):
        if commit_in(name) in known:
            state = _described(place, name, DESCRIPTION, to)
            if state is not None and not state.dirty:
                return state
    return latest


def _described(place: Artifacts, folder: str, name: str, to: Path) -> ProductionState | None:
    path = to / DESCRIPTION
    try:
        place.get(folder, name, path)
    except ArtifactMissing:
        return None
    try:
        return ProductionState.from_json(path.read_bytes())
    except (ValueError, TypeError, OSError) as error:
        raise NoState(
            f"{place.url}/{folder}/{name} does not describe a state of production: {error}"
        ) from error


def _fetched(place: Artifacts, state: ProductionState, to: Path) -> FoundState:
    for name, digest in state.files.items():
        if name not in (MANIFEST, RESULTS, SOURCES):
            continue
        place.get(state.name, name, to / name)
        if hashlib.sha256((to / name).read_bytes()).hexdigest() != digest:
            raise NoState(
                f"{place.url}/{state.name}/{name} is not what was published: let production"
                f" succeed once more, {FULL}"
            )
    return FoundState(
        folder=to,
        url=f"{place.url}/{state.name}",
        at=state.published_at,
        dbt_version=state.dbt_version,
        published=state,
    )


class _Metadata(msgspec.Struct):
    generated_at: datetime
    dbt_version: str = ""


class _Manifest(msgspec.Struct):
    metadata: _Metadata


def _bare(place: Artifacts, to: Path, pipeline: str) -> FoundState:
    """A folder that somebody else has put dbt's artifacts into."""
    try:
        place.get("", MANIFEST, to / MANIFEST)
    except ArtifactMissing:
        which = f" of pipeline {pipeline}" if pipeline else ""
        raise NoState(
            f"there is no state of production{which} at {place.url}: let a pipeline with"
            f" `production: true` succeed once, name another place with --state, {FULL}"
        ) from None
    for name in (RESULTS, SOURCES):
        try:
            place.get("", name, to / name)
        except ArtifactMissing:
            continue
    metadata = _metadata(to / MANIFEST, place.url)
    at = metadata.generated_at
    return FoundState(
        folder=to,
        url=place.url,
        at=at if at.tzinfo is not None else at.replace(tzinfo=UTC),
        dbt_version=metadata.dbt_version,
        published=None,
    )


def _metadata(path: Path, url: str) -> _Metadata:
    content = path.read_bytes()
    try:
        return msgspec.json.decode(content, type=_Manifest).metadata
    except msgspec.MsgspecError as error:
        try:  # dbt 1 writes NaN, which is no JSON
            found: Any = json.loads(content)["metadata"]
            return msgspec.convert(found, _Metadata, strict=False)
        except (ValueError, KeyError, TypeError):
            raise NoState(f"{url}/{MANIFEST} is no manifest of dbt: {error}") from None
