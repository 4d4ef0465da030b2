"""`dbtorch check-idempotent`: from options to an exit code."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.cron import interval
from dbtorch.adapters.dbt.scratch import ScratchError
from dbtorch.adapters.run_files import RunFiles
from dbtorch.app.inbox import Inbox
from dbtorch.app.planning import texts_to_resolve
from dbtorch.cli.check.place import make_place
from dbtorch.cli.check.report import as_json, as_text
from dbtorch.cli.check.subject import step_named, subject_of
from dbtorch.cli.check.twice import Check
from dbtorch.cli.engines import Engines
from dbtorch.cli.errors import NODE_FAILED, OK, UsageError
from dbtorch.cli.occasion import Occasion
from dbtorch.cli.opening import Opening
from dbtorch.cli.project import Project, open_project
from dbtorch.cli.run_options import Options, pipeline_of
from dbtorch.cli.signals import Signals


def check_idempotent(options: Options, text: str, ignore: tuple[str, ...], format: str) -> int:
    """Run what ``text`` names twice, and print what came of it. Answers the exit code."""
    project = open_project(options.project_dir)
    occasion = _occasion(project, options)
    target = pipeline_of(project.config, options).target
    if target and "--target" not in options.dbt_args:
        options = replace(options, dbt_args=(*options.dbt_args, "--target", target))
    with ExitStack() as stack:
        stack.enter_context(Signals())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbtorch-check-")))
        opening = _opened(project, options, occasion, folder, text)
        subject = subject_of(text, project.config, opening.selected)
        try:
            check = Check(
                project=project,
                options=options,
                opening=opening,
                subject=subject,
                place=make_place(stack, folder, opening.selected, subject),
                occasion=occasion,
                ignore=ignore,
            )
            stack.callback(check.clean)
            verdict = check.run()
        except ScratchError as error:
            raise UsageError(str(error)) from error
    click.echo((as_json if format == "json" else as_text)(check, verdict))
    return OK if verdict.idempotent else NODE_FAILED


def _occasion(project: Project, options: Options) -> Occasion:
    pipeline = pipeline_of(project.config, options)
    now = SystemClock().now()
    logical_date = options.logical_date or now.replace(microsecond=0)
    start, end = interval(pipeline.schedule, logical_date)
    return Occasion(
        run_id=f"check-{secrets.token_hex(3)}",
        pipeline=pipeline.name,
        logical_date=logical_date,
        data_interval_start=start,
        data_interval_end=end,
    )


def _opened(
    project: Project, options: Options, occasion: Occasion, folder: Path, text: str
) -> Opening:
    """What dbt says of the whole project and its real target, which it does not connect to."""
    (folder / "real").mkdir()
    with contextlib.suppress(OSError):  # dbt's last parse saves it time, and is only read there
        shutil.copy(project.dir / "target" / "partial_parse.msgpack", folder / "real")
    args = (*options.dbt_args, "--target-path", str(folder / "real"), "--write-json")
    engine = Engines(
        project=project,
        args=(*args, "--log-path", str(folder / "logs")),
        files=RunFiles(folder, "real"),
        occasion=occasion,
        cwd=options.cwd,
    ).chosen(Inbox().put)
    try:
        texts = texts_to_resolve(project.config)
        if step_named(text, project.config) is None:
            texts = (*texts, text)
        selected = engine.open(texts)
        for warning in engine.warnings:
            click.echo(f"Warning: {warning}", err=True)
    finally:
        engine.close()
    # The whole project: what a pipeline selects decides nothing here.
    return Opening.of(
        project, selected, replace(options, pipeline=None, freshness=False, checks=False), None
    )
