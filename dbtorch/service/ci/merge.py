"""Bringing production to what was merged: what changed since its state, and what reads that."""

from __future__ import annotations

from dataclasses import replace

from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.service.ci.options import CiOptions
from dbtorch.service.ci.state import find_latest
from dbtorch.service.ci.unseen import find_unseen
from dbtorch.service.ci.words import selecting
from dbtorch.service.project.dbt_options import without
from dbtorch.service.project.project import open_project
from dbtorch.service.run.control import RunControl
from dbtorch.service.run.listener import Executed, Listen
from dbtorch.service.run.run import run
from dbtorch.service.tell import Tell, nobody

#: Seconds that a run of production which is under way has to end.
_PATIENCE = 86_400.0


def merge(
    options: CiOptions, listen: Listen, control: RunControl, *, say: Tell = nobody
) -> Executed:
    """Build what changed since the state of production, there, and publish the new state.

    A failure publishes nothing: the next merge selects the same again. Raises `NoState` where
    there is nothing to compare with, and what `run` raises.
    """
    project = open_project(options.run.project_dir, options.run.environ)
    folder = make_state_dir(project.dir, options.run.environ) / "ci" / "merge"
    latest, pipeline = find_latest(project, options, folder)
    patience = options.run.wait or _PATIENCE
    wanted = replace(
        options.run,
        pipeline=pipeline,
        merges=not options.run.partial,  # what somebody leaves out is not built
        freshness=True,
        wait=patience,
    )
    if latest is not None:
        commit = f", commit {latest.commit[:12]}" if latest.commit else ""
        say(f"production is {latest.url}{commit}")
        unseen = find_unseen(project, latest, options.base)
        if unseen.note:
            say(unseen.note)
        given = without(options.run.dbt_args, {"--state"})
        words = (*given, "--state", str(latest.folder), *selecting(project, given, latest, unseen))
        wanted = replace(wanted, dbt_args=words, narrowed=True)
    return run(wanted, listen, control)
