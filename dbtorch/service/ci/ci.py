"""Building what a pull request changes, beside production, and comparing the two."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.core.ci.result import CiResult
from dbtorch.core.config import InCi, PipelineSpec
from dbtorch.core.errors import RunInProgress, UsageError
from dbtorch.service.ci.forks import NoSecrets
from dbtorch.service.ci.job import Job
from dbtorch.service.ci.options import CiOptions, Freshness
from dbtorch.service.ci.state import States, find_states
from dbtorch.service.ci.target import redirect
from dbtorch.service.ci.unseen import find_unseen
from dbtorch.service.ci.words import words_of
from dbtorch.service.production.find import NoState, OldState
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.listener import Executed, Listen
from dbtorch.service.run.run import run
from dbtorch.service.tell import Tell, nobody

#: Seconds that an earlier run of the same pull request has to end.
_PATIENCE = 120.0


def ci(
    options: CiOptions, listen: Listen, control: RunControl, *, say: Tell = nobody
) -> tuple[Executed, CiResult]:
    """Build and compare; ``say`` is told what was found, before anything is built.

    Raises `NoState` where there is nothing to compare with, and what `run` raises.
    """
    options, _ = options.settled()
    project = open_project(options.run.project_dir, options.run.environ)
    folder = make_state_dir(project.dir, options.run.environ) / "ci" / f"pr_{options.pr}"
    place = redirect(project, options, folder / "profiles")
    states = _states(project, options, folder / "state", SystemClock().now())
    for said in _found(states):
        say(said)
    unseen = find_unseen(project, None if states is None else states.base, options.base)
    words = words_of(project, options, states, place, unseen)
    wanted = replace(
        options.run,
        dbt_args=words,
        narrowed=bool({"--select", "--selector", "--exclude"} & {*words}),
        steps=any(step.ci is InCi.RUN for step in project.config.steps.values()),
        spec=PipelineSpec(name=f"pr_{options.pr}", vars=_vars(project, states)),
        freshness=options.freshness is Freshness.GATE,
        alerts=False,
    )
    job = Job(
        project=project, options=options, wanted=wanted, states=states, unseen=unseen, say=say
    )
    try:
        executed = run(wanted, listen, control, companion=job)
    except RunInProgress as error:
        say(f"cancelling run {error.run_id}, of an earlier commit of this pull request")
        _cancel(project, wanted, error.run_id)
        executed = run(replace(wanted, wait=_PATIENCE), listen, control, companion=job)
    return executed, job.result


def _vars(project: Project, states: States | None) -> Mapping[str, Any]:
    """Variables of the pipeline that built production, but for those that change with its runs."""
    published = None if states is None else states.latest.published
    pipeline = None if published is None else project.config.pipelines.get(published.pipeline)
    said = {} if pipeline is None else pipeline.vars
    own = {name for name, value in said.items() if "run." in str(value) or "params." in str(value)}
    return {name: value for name, value in said.items() if name not in own}


def _cancel(project: Project, options: RunOptions, run_id: str) -> None:
    from dbtorch.service.history.store import history_of
    from dbtorch.service.run.cancel import cancel

    store = history_of(project, options, writes=True)
    with closing(store), suppress(UsageError):  # it has just ended
        cancel(store, run_id, reason="a newer commit of the pull request", wait=True)


def _states(project: Project, options: CiOptions, folder: Path, now: datetime) -> States | None:
    """The states of production; where a fork's job finds none, it is for want of secrets."""
    if options.full:
        return None
    try:
        return find_states(project, options, folder, now)
    except NoState as error:
        if not options.fork or isinstance(error, OldState):
            raise
        raise NoSecrets(options.fork, str(error)) from error


def _found(states: States | None) -> list[str]:
    """What is compared with, a sentence each."""
    if states is None:
        return ["no state of production is used: everything is built"]
    commit = f", commit {states.base.commit[:12]}" if states.base.commit else ""
    found = f"compared with {states.base.url}{commit}"
    return [found, states.note] if states.note else [found]
