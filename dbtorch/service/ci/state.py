"""Which state of production a pull request is compared with, and which it defers to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dbtorch.adapters.git import commits_before
from dbtorch.core.errors import NotFound, UsageError
from dbtorch.ports.artifacts import Artifacts
from dbtorch.service.ci.options import CiOptions
from dbtorch.service.production.find import (
    FULL,
    FoundState,
    NoState,
    find_state,
    open_state,
    refuse_old,
)
from dbtorch.service.production.place import place_of
from dbtorch.service.project.project import Project

#: What `--state-from` begins with.
_PIPELINE = "pipeline:"


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """What there is of production."""

    base: FoundState  # to compare with: production as of the commit the change was made from
    latest: FoundState  # to defer to: production as it is
    note: str = ""  # where the base is not what one might expect


def find_states(project: Project, options: CiOptions, folder: Path, now: datetime) -> States:
    """Fetch them into a folder. Raises `NoState`, `UsageError`."""
    place, pipeline = _place(project, options)
    latest = find_state(place, folder / "latest", pipeline=pipeline)
    refuse_old(latest, options.max_state_age, now)
    commits = commits_before(project.dir, options.base) if options.base else ()
    if not commits or latest.published is None:
        note = ""
        if options.base and not commits:
            note = (
                f"git knows no commit that this one and {options.base} have in common, so the"
                " newest state counts: fetch the history (fetch-depth: 0)"
            )
        return States(base=latest, latest=latest, note=note)
    base = find_state(place, folder / "base", base=commits, pipeline=pipeline)
    note = ""
    if base.commit not in commits:
        note = (
            f"no state of production is of a commit that {options.base} had when this change was"
            " made: what moved there since is compared as well"
        )
    return States(base=base, latest=latest, note=note)


def find_latest(
    project: Project, options: CiOptions, folder: Path
) -> tuple[FoundState | None, str]:
    """Production as it is, fetched into a folder, and its pipeline; None to build everything.

    Raises `NoState`, `UsageError`.
    """
    pipeline = _pipeline(project, options.state_from)
    if options.full:
        return None, pipeline
    place, _ = _place(project, options)
    return find_state(place, folder, pipeline=pipeline), pipeline


def _place(project: Project, options: CiOptions) -> tuple[Artifacts, str]:
    if options.state and options.state_from:
        raise UsageError("--state and --state-from both name a state: keep one of them")
    if options.state:
        return open_state(options.state, project.dir, options.run.environ), ""
    pipeline = _pipeline(project, options.state_from)
    return place_of(project, options.run, pipeline), pipeline


def _pipeline(project: Project, said: str | None) -> str:
    """The pipeline whose state counts."""
    pipelines = project.config.pipelines
    if said is not None:
        name = said.removeprefix(_PIPELINE)
        if name not in pipelines:
            known = ", ".join(pipelines) or "none"
            raise NotFound(f"--state-from {said}: there is no pipeline {name!r}; there is {known}")
        if not pipelines[name].production:
            raise UsageError(
                f"--state-from {said}: pipeline {name} publishes no state; give it"
                " `production: true` and a target"
            )
        return name
    found = [name for name, spec in pipelines.items() if spec.production]
    if len(found) == 1:
        return found[0]
    if not found:
        raise NoState(
            "nothing says where the state of production is: name it with --state, give the"
            f" pipeline that builds production `production: true`, {FULL}"
        )
    raise UsageError(
        f"there are several production pipelines ({', '.join(found)}): say which with --state-from"
    )
