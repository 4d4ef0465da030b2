"""`dbtorch export`."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from dbtorch.cli.common_options import PROJECT
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo, warn

_EXAMPLES = (
    ("dbtorch export cron > dbtorch.cron", "lines for `crontab -e`, for every pipeline"),
    ("dbtorch export kubernetes -p daily --image analytics:1.0.0", "a CronJob"),
    ("dbtorch export github > .github/workflows/dbtorch.yml", "a workflow of GitHub Actions"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="production")
@click.argument("scheduler", type=click.Choice(["cron", "kubernetes", "github"]))
@click.option(
    "--pipeline", "-p", multiple=True, help="Pipeline with a schedule; all of them without."
)
@click.option(
    "--image",
    default="registry.example.com/analytics:1.0.0",
    show_default=True,
    help="Image with your project, for kubernetes.",
)
@PROJECT
def export(scheduler: str, pipeline: tuple[str, ...], image: str, project_dir: str | None) -> int:
    """Write the schedules of pipelines for another scheduler.

    What it cannot say is a warning, and a comment in the file. A pipeline that it would start at
    other times is refused.
    """
    from dbtorch.service.schedule.export import crontab, github, kubernetes
    from dbtorch.service.schedule.export.exported import Pipelines

    where = {"cron": crontab, "kubernetes": kubernetes, "github": github}[scheduler].WHERE
    now = datetime.now(UTC)
    pipelines = Pipelines.of(project_dir, pipeline, where=where, now=now)
    if scheduler == "cron":
        beside = Path(sys.executable).with_name("dbtorch")
        command = str(beside) if os.access(beside, os.X_OK) else shutil.which("dbtorch")
        found = crontab.crontab(pipelines, now, dbtorch=command or "dbtorch")
    elif scheduler == "kubernetes":
        found = kubernetes.cron_jobs(pipelines, now, image=image)
    else:
        found = github.workflow(pipelines, now)
    for sentence in found.unsaid:
        warn(sentence)
    echo(found.text)
    return OK
