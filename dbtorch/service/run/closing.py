"""What follows a run that has ended: retention, production's state, the last uploads, a summary."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.core.config import PipelineSpec
from dbtorch.core.errors import StoreError
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import RunState
from dbtorch.core.text.links import run_link
from dbtorch.core.text.moments import shown
from dbtorch.core.text.phrases import many
from dbtorch.service.run.launch import Launched

if TYPE_CHECKING:
    from dbtorch.ports.store import Store
    from dbtorch.service.run.uploading import RunUploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a summary is told of this execution."""

    command: tuple[str, ...]
    since: datetime | None  # when it went on with a run that is not told of from its start
    planned_at: datetime | None  # when people were told how it goes on


def close_run(
    launched: Launched,
    store: Store,
    finished: RunRecord,
    pipeline: PipelineSpec,
    told: Told,
    *,
    uploads: RunUploads | None,
    target_path: Path,
    began: datetime,
    hide: Scrubber,
) -> None:
    """Do all that and tell the listener; the run has ended however that goes."""
    from dbtorch.core.history.summary import summarize

    if (keep := launched.project.config.retention) is not None:
        _tidy(launched, store, keep, uploads)
    if pipeline.production and finished.state is RunState.SUCCESS:
        _publish(launched, finished, pipeline, target_path, began, hide)
    uploaded = None if uploads is None else uploads.finish(target_path)
    launched.listener.finish(
        summarize(
            finished,
            log_path=launched.files.path if uploads is None else uploads.log_at,
            uploaded=uploaded,
            since=told.since,
            gone_since=told.planned_at,
            command=told.command,
            latest=store.find("latest") == [finished.run_id],
            link=run_link(launched.project.config.ui.url, finished.run_id),
        )
    )


def _tidy(launched: Launched, store: Store, keep: float, uploads: RunUploads | None) -> None:
    """Remove what is older than anybody wants to keep, in seconds."""
    from dbtorch.service.history.prune import prune_after_run

    note = launched.listener.note
    try:
        pruned = prune_after_run(store, launched.files.root.parents[1], keep)
    except StoreError as error:
        why = f"nothing of what is older than `retention` was removed: {error}"
        note(why, level="warning")
        return
    if pruned.runs and uploads is not None:
        uploads.remove(pruned.runs)
    if pruned.runs:
        runs, before = many(len(pruned.runs), "run"), shown(pruned.before)
        note(f"removed {runs} that ended before {before} (retention)", level="info")


def _publish(
    launched: Launched,
    finished: RunRecord,
    pipeline: PipelineSpec,
    target_path: Path,
    began: datetime,
    hide: Scrubber,
) -> None:
    """Publish the state of production."""
    from dbtorch.service.production.publish import NotPublished, publish

    note, merges = launched.listener.note, launched.options.merges
    if why := _no_production(finished, pipeline, merges=merges):
        note(f"the state of production is not published: {why}", level="info")
        return
    try:
        url = publish(
            launched.project,
            launched.options,
            finished,
            target_path=target_path,
            began=began,
            now=launched.clock.now(),
            hide=hide,
            adds=merges,
        )
    except NotPublished as error:
        note(f"the state of production is not published: {error}", level="warning")
    else:
        note(f"published the state of production: {url}", level="info")


def _no_production(run: RunRecord, pipeline: PipelineSpec, *, merges: bool) -> str:
    """Why a run of a production pipeline is not production itself; empty where it is."""
    if run.target != pipeline.target:
        return f"this run was on target {run.target}, and production is {pipeline.target}"
    part = run.partial and not merges
    return "this run was of a part of the pipeline" if part else ""
