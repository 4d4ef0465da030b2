"""Options that several verbs have, and the value that they come to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dbtorch.cli.options import selects
from dbtorch.cli.param_types import Assignment, Deadline, Duration
from dbtorch.service.project.dbt_options import dbt_args
from dbtorch.service.project.known_secrets import scrubber_of_environment

if TYPE_CHECKING:
    from dbtorch.service.project.options import RunOptions

PROJECT = click.option("--project-dir", help="Folder of the dbt project.")
PIPELINE = click.option("--pipeline", "-p", help="Pipeline of dbtorch.yml; everything without.")
STORE = click.option("--database-url", help="Where the history is kept (DBTORCH_DATABASE_URL).")

ARTIFACTS = click.option(
    "--artifacts-url", help="Where logs and artifacts are uploaded to (DBTORCH_ARTIFACTS_URL)."
)


#: More than anybody has, and less than a database takes for a number.
MOST = 1_000_000

FORMAT = click.option(
    "--format",
    "format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Text for people, or JSON for programs.",
)


def without_secrets(_context: object, _option: object, text: str) -> str:
    """What somebody writes on the command line, as it may be kept."""
    return scrubber_of_environment()(text) if text else text


def reason(*, required: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Why somebody does something, for the history."""
    needed: dict[str, Any] = {"required": True} if required else {"default": ""}
    return click.option(
        "--reason", callback=without_secrets, help="Why; it is kept in the history.", **needed
    )


PARAMS = click.option(
    "--param",
    "params",
    type=Assignment(),
    multiple=True,
    help="A parameter of the pipeline; may be given several times.",
)


def overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that win over dbtorch.yml and meta.dbtorch, for every node of the run."""
    times = click.IntRange(0, 1000)  # as in dbtorch.yml
    for option in (
        click.option("--timeout", type=Duration(), help="How long one attempt may take."),
        click.option("--retry-max-delay", type=Duration(), help="Longest wait between attempts."),
        click.option("--retry-delay", type=Duration(), help="First wait between attempts."),
        click.option("--retries", type=times, help="Attempts after the first one, for every node."),
    ):
        command = option(command)
    return command


#: Seconds that `--wait` waits when it does not say how long.
_A_DAY = 86_400


def timing(command: Callable[..., Any]) -> Callable[..., Any]:
    """When the run is late, and how patiently things are ended."""
    for option in (
        click.option(
            "--wait",
            type=Duration(),
            is_flag=False,
            flag_value=str(_A_DAY),
            metavar="[DURATION]",
            help="Wait for whoever runs this pipeline on this target; a day at most by default.",
        ),
        click.option(
            "--grace",
            type=Duration(),
            help="From asking steps and queries to end to killing them.",
        ),
        click.option(
            "--deadline-action",
            type=click.Choice(["alert", "cancel"]),
            help="What to do when the deadline passes.",
        ),
        click.option(
            "--deadline", type=Deadline(), help='When the run is late: "2h" from now, or "08:00".'
        ),
    ):
        command = option(command)
    return command


STEPS = click.option(
    "--steps/--no-steps", default=True, help="Run steps beside dbt's nodes, or dbt's nodes alone."
)

DOWNSTREAM = click.option(
    "--downstream-steps",
    is_flag=True,
    help="With --select: run steps after what is selected, too.",
)

FRESHNESS = click.option(
    "--freshness/--no-freshness",
    default=True,
    help="Check sources before what reads them, or do not.",
)

CHECKS = click.option(
    "--checks/--no-checks",
    default=True,
    help="Look at what has `checks`, or do not.",
)

_LOG_FORMAT = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="One JSON object a line, or text for people.",
)


def output(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is printed of a run."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Print nothing but what went wrong.")
    report = click.option("--report", metavar="FILE", help="Write the run as a file of HTML.")
    return _LOG_FORMAT(quiet(report(command)))


def shown(given: dict[str, Any]) -> dict[str, Any]:
    """How what is printed of a run is printed."""
    report = None
    if given["report"]:
        from dbtorch.cli.reporting import RunReportFile

        report = RunReportFile(given["report"], given["project_dir"], given["database_url"])
    return {"log_format": given["log_format"], "quiet": given["quiet"], "report": report}


def options_of(given: dict[str, Any]) -> RunOptions:
    """What click has parsed, as one value."""
    from dbtorch.core.model.deadline import DeadlineAction
    from dbtorch.core.settings import Settings
    from dbtorch.service.project.options import (
        STANDBY,
        TICK,
        TICK_INTERVAL,
        TICK_SHARED,
        RunOptions,
    )
    from dbtorch.service.schedule.causes import told_cause

    action = given.get("deadline_action")
    cause = told_cause(os.environ)
    return RunOptions(
        project_dir=given.get("project_dir"),
        pipeline=given.get("pipeline"),
        dbt_args=dbt_args(given),
        narrowed=selects(given),
        overrides=Settings(
            retries=given.get("retries"),
            retry_delay=given.get("retry_delay"),
            retry_max_delay=given.get("retry_max_delay"),
            timeout=given.get("timeout"),
        ),
        steps=given.get("steps", True),
        downstream_steps=given.get("downstream_steps", False),
        freshness=given.get("freshness", True),
        checks=given.get("checks", True),
        database_url=given.get("database_url"),
        artifacts_url=given.get("artifacts_url"),
        logical_date=given.get("logical_date"),
        params={**(cause.params if cause else {}), **dict(given.get("params") or ())},
        cause=cause,
        partition=given.get("partition") or "",
        run_id=given.get("run_id"),
        fail_on_empty=given.get("fail_on_empty", False),
        grace=given.get("grace"),
        wait=given.get("wait"),
        deadline=given.get("deadline"),
        deadline_action=DeadlineAction(action) if action else None,
        tick=os.environ.pop(TICK, ""),  # for this run, and for none that it starts
        tick_interval=os.environ.pop(TICK_INTERVAL, ""),
        shared=bool(os.environ.pop(TICK_SHARED, "")),
        standby=os.environ.pop(STANDBY, ""),
        command=("dbtorch", *sys.argv[1:]),
    )
