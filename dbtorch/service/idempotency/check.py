"""Running a node twice where it does no harm, from options to a verdict."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.dbt.process.target_directories import PARTIAL_PARSE
from dbtorch.adapters.dbt.scratch import ScratchError
from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.inbox import Inbox
from dbtorch.app.step_wiring import texts_to_resolve
from dbtorch.core.errors import UsageError
from dbtorch.core.params import settled
from dbtorch.service.idempotency.scratch_warehouse import make_scratch_warehouse
from dbtorch.service.idempotency.subject import step_named, subject_of
from dbtorch.service.idempotency.two_runs import Check, Verdict
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.planning.preview import known_history
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.run.context import RunContext
from dbtorch.service.tell import Tell, nobody
from dbtorch.service.wiring.engines import Engines


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A check, and what it came to."""

    check: Check
    verdict: Verdict


def check_idempotent(
    options: RunOptions,
    text: str,
    *,
    ignore: tuple[str, ...] = (),
    say: Tell = nobody,
    warn: Tell = nobody,
) -> Checked:
    """Run what ``text`` names, a step or a model, twice where it does no harm; compare the two.

    ``ignore`` are columns that are not compared, ``say`` is told what is under way. Raises
    `UsageError` where that cannot be done, `ConfigError`, `EngineError`.
    """
    project = open_project(options.project_dir)
    run_context = _run_context(project, options)
    target = pipeline_of(project.config, options).target
    if target and "--target" not in options.dbt_args:
        options = replace(options, dbt_args=(*options.dbt_args, "--target", target))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbtorch-check-")))
        say("dbt reads the project, which takes some seconds")
        opening = _opened(project, options, run_context, folder, text, warn)
        run_context = _settled(project, options, run_context, opening)
        subject = subject_of(text, project.config, opening.selected)
        say(f"making a place apart for {subject.name}")
        try:
            check = Check(
                project=project,
                options=options,
                opening=opening,
                subject=subject,
                scratch=make_scratch_warehouse(stack, folder, opening.selected, subject),
                run_context=run_context,
                ignore=ignore,
                say=say,
            )
            stack.callback(check.clean)
            return Checked(check=check, verdict=check.run())
        except ScratchError as error:
            raise UsageError(str(error)) from error


def _run_context(project: Project, options: RunOptions) -> RunContext:
    pipeline = pipeline_of(project.config, options)
    run_id, now = f"check-{secrets.token_hex(3)}", SystemClock().now()
    params = settled(pipeline.name, pipeline.params, options.params)
    return RunContext.of(pipeline, options.logical_date, now, run_id=run_id, params=params)


def _settled(
    project: Project, options: RunOptions, run_context: RunContext, opening: OpenedPlan
) -> RunContext:
    """What a run would stand for now, after those that there were. Raises `UsageError`."""
    store = known_history(project, options)
    if store is None:
        return run_context
    with contextlib.closing(store):
        return run_context.settled(store, str(opening.selected.target["name"]))


def _opened(
    project: Project,
    options: RunOptions,
    run_context: RunContext,
    folder: Path,
    text: str,
    warn: Tell,
) -> OpenedPlan:
    """What dbt says of the whole project and its real target, which it does not connect to."""
    (folder / "real").mkdir()
    with contextlib.suppress(OSError):  # dbt's last parse saves it time, and is only read there
        shutil.copy(project.dir / "target" / PARTIAL_PARSE, folder / "real")
    args = (*options.dbt_args, "--target-path", str(folder / "real"), "--write-json")
    engine = Engines(
        project=project,
        args=(*args, "--log-path", str(folder / "logs")),
        files=RunFiles(folder, "real"),
        run_context=run_context,
        cwd=options.cwd,
    ).chosen(Inbox().put)
    try:
        texts = texts_to_resolve(project.config)
        if step_named(text, project.config) is None:
            texts = (*texts, text)
        selected = engine.open(texts)
        for warning in engine.warnings:
            warn(warning)
    finally:
        engine.close()
    # The whole project: what a pipeline selects decides nothing here.
    return OpenedPlan.of(
        project, selected, replace(options, pipeline=None, freshness=False, checks=False), None
    )
