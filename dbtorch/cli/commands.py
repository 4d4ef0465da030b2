"""click commands of the verbs that need dbt. Each parses, and calls a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.early import Early
    from dbtorch.core.deadline import DeadlineRule

from dbtorch.cli.options import (
    DbtCommand,
    dbt_args,
    dbt_options,
    freshness_options,
    profile_options,
    selects,
)

_PROJECT = click.option("--project-dir", help="Folder of the dbt project.")
_PIPELINE = click.option("--pipeline", "-p", help="Pipeline of dbtorch.yml; everything without.")
_STORE = click.option("--database-url", help="Where the history is kept (DBTORCH_DATABASE_URL).")


class _Moment(click.ParamType[datetime]):
    """An ISO date or time; without a zone it is UTC."""

    name = "date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date; write 2026-11-21 or 2026-11-21T06:00+01:00")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Duration(click.ParamType[float]):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from dbtorch.adapters.config.durations import seconds

        try:
            return seconds(_number(value))
        except ValueError as error:
            self.fail(f"{value!r} is none: {error}")


class _Deadline(click.ParamType["DeadlineRule"]):
    """A duration, or a time of day."""

    name = "deadline"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> DeadlineRule:
        from dbtorch.adapters.config.deadlines import rule

        try:
            return rule(_number(value))
        except ValueError as error:
            self.fail(f"{value!r} is none: {error}")


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _overrides(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that win over dbtorch.yml and meta.dbtorch, for every node of the run."""
    times = click.IntRange(min=0)
    for option in (
        click.option("--timeout", type=_Duration(), help="How long one attempt may take."),
        click.option("--retry-max-delay", type=_Duration(), help="Longest wait between tries."),
        click.option("--retry-delay", type=_Duration(), help="First wait between tries."),
        click.option("--retries", type=times, help="Tries after the first one, for every node."),
    ):
        command = option(command)
    return command


def _timing(command: Callable[..., Any]) -> Callable[..., Any]:
    """When the run is late, and how patiently things are ended."""
    for option in (
        click.option(
            "--grace",
            type=_Duration(),
            help="From asking steps and queries to end to killing them.",
        ),
        click.option(
            "--deadline-action",
            type=click.Choice(["alert", "cancel"]),
            help="What to do when the deadline passes.",
        ),
        click.option(
            "--deadline", type=_Deadline(), help='When the run is late: "2h" from now, or "08:00".'
        ),
    ):
        command = option(command)
    return command


_FRESHNESS = click.option(
    "--freshness/--no-freshness", default=True, help="Check sources before what reads them."
)

_CHECKS = click.option(
    "--checks/--no-checks", default=True, help="Look at what has `checks` in dbtorch.yml or meta."
)

_LOG_FORMAT = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    help="One JSON object a line, or text for people.",
)


def _options(given: dict[str, Any]) -> Any:
    from dbtorch.cli.run_options import Options
    from dbtorch.core.config import Settings
    from dbtorch.core.deadline import DeadlineAction

    action = given.get("deadline_action")
    return Options(
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
        freshness=given.get("freshness", True),
        checks=given.get("checks", True),
        database_url=given.get("database_url"),
        log_format=given.get("log_format", "text"),
        logical_date=given.get("logical_date"),
        fail_on_empty=given.get("fail_on_empty", False),
        grace=given.get("grace"),
        deadline=given.get("deadline"),
        deadline_action=DeadlineAction(action) if action else None,
        command=("dbtorch", *sys.argv[1:]),
    )


_WHY = click.option("--reason", default="", help="Why; it is kept in the history.")


@click.command(cls=DbtCommand)
@_PROJECT
@_PIPELINE
@click.option("--steps/--no-steps", default=True, help="Leave out everything that is not dbt's.")
@_FRESHNESS
@_CHECKS
@_overrides
@_timing
@click.option("--logical-date", type=_Moment(), help="What the run stands for; now by default.")
@click.option("--fail-on-empty", is_flag=True, help="Exit with 2 when the selection is empty.")
@_LOG_FORMAT
@_STORE
@dbt_options
@click.pass_obj
def run(early: Early | None, /, **given: Any) -> int:
    """Run the project, or a part of it, node by node."""
    from dbtorch.cli.running import run

    return run(_options(given), early)


@click.command(cls=DbtCommand)
@click.argument("run", default="latest")
@click.option(
    "--from",
    "start_from",
    multiple=True,
    metavar="NODE",
    help="Run this node and everything after it again, whatever their state.",
)
@click.option("--same-code", is_flag=True, help="Refuse when the code is not what the run used.")
@_WHY
@_PROJECT
@_overrides
@_timing
@_LOG_FORMAT
@_STORE
@dbt_options
def retry(**given: Any) -> int:
    """Go on with RUN: what did not succeed, and what depends on it.

    A node whose code has changed since it succeeded runs again, too. Options that would make
    another run of it are refused unless they say what the run said.
    """
    from dbtorch.cli.asked import Asked
    from dbtorch.cli.resuming import retry
    from dbtorch.core.history import Verb

    asked = Asked(
        verb=Verb.RETRY,
        start_from=given["start_from"],
        same_code=given["same_code"],
        reason=given["reason"],
    )
    return retry(_options(given), given["run"], asked)


@click.command(cls=DbtCommand)
@click.argument("run")
@click.option(
    "--select",
    "-s",
    "again",
    multiple=True,
    required=True,
    help="Nodes to run again, in dbt's words; steps as step:<name>.",
)
@click.option("--exclude", "never", multiple=True, help="Nodes that stay as they are.")
@_WHY
@_PROJECT
@_overrides
@_timing
@_LOG_FORMAT
@_STORE
def rerun(**given: Any) -> int:
    """Run a part of RUN again, whatever its state: what is selected, and what depends on it."""
    from dbtorch.cli.asked import Asked
    from dbtorch.cli.resuming import retry
    from dbtorch.core.history import Verb

    asked = Asked(
        verb=Verb.RERUN,
        select=given["again"],
        exclude=given["never"],
        reason=given["reason"],
    )
    return retry(_options(given), given["run"], asked)


_PLAN_FORMAT = click.option(
    "--format", "format", type=click.Choice(["text", "json"]), default="text"
)


@click.command(cls=DbtCommand)
@_PROJECT
@_PIPELINE
@click.option("--steps/--no-steps", default=True, help="Leave out everything that is not dbt's.")
@_FRESHNESS
@_CHECKS
@_overrides
@_PLAN_FORMAT
@_STORE
@dbt_options
def plan(**given: Any) -> int:
    """Show what would run, in which order and why. Runs nothing."""
    from dbtorch.cli.planning import plan

    return plan(_options(given), given["format"])


@click.command(cls=DbtCommand)
@_PROJECT
@_PIPELINE
@click.option("--steps/--no-steps", default=True, help="Leave out everything that is not dbt's.")
@_FRESHNESS
@_CHECKS
@click.option(
    "--format", "format", type=click.Choice(["text", "mermaid", "dot", "json"]), default="text"
)
@dbt_options
def graph(**given: Any) -> int:
    """Draw the graph: steps and dbt nodes."""
    from dbtorch.cli.planning import graph

    return graph(_options(given), given["format"])


@click.command(cls=DbtCommand)
@_PROJECT
@_PIPELINE
@dbt_options
def validate(**given: Any) -> int:
    """Check dbtorch.yml, meta.dbtorch and the graph. Runs nothing."""
    from dbtorch.cli.planning import validate

    return validate(_options(given))


@click.command(cls=DbtCommand)
@_PROJECT
@click.option(
    "--fail-on",
    type=click.Choice(["warn", "error"]),
    default="error",
    help="From which of dbt's thresholds on a source is stale.",
)
@_PLAN_FORMAT
@freshness_options
def freshness(fail_on: str, format: str, **given: Any) -> int:
    """Check the selected sources by dbt's own rules, and write sources.json.

    Exits with 0 when all are fresh, with 3 when one is stale, and with 1 when one could not be
    checked. Runs nothing.
    """
    from dbtorch.cli.freshness import freshness

    return freshness(_options(given), format, fail_on)


@click.command(cls=DbtCommand)
@_PROJECT
@click.option("--check", is_flag=True, help="Ask dbt how fresh the sources are now.")
@click.option("--alert", is_flag=True, help="Tell the owners of what is stale, once.")
@_PLAN_FORMAT
@_STORE
@profile_options
def status(check: bool, alert: bool, format: str, **given: Any) -> int:
    """Show how old pipelines, sources and marts are, healthy or not, and why.

    Reads the history and dbt's last manifest.json. Exits with 0 when all is well and with 3 when
    something is older than it may be or the last run of a pipeline failed. Runs nothing.
    """
    from dbtorch.cli.status import status

    return status(
        _options(given), check=check, alert=alert, format=format, target=given.get("target")
    )


@click.command()
@_PROJECT
@click.option("--force", is_flag=True, help="Replace the dbtorch.yml that is there.")
def init(project_dir: str | None, force: bool) -> int:
    """Write a commented dbtorch.yml for this project."""
    from dbtorch.cli.init import init
    from dbtorch.cli.project import find_project_dir

    return init(find_project_dir(project_dir), force=force, echo=click.echo)


@click.command()
@_PROJECT
@_PLAN_FORMAT
@_STORE
@profile_options
def doctor(**given: Any) -> int:
    """Check interpreter, dbt, profile, connection, store and permissions."""
    from dbtorch.cli.doctor import doctor

    return doctor(_options(given), given["format"])


@click.command("check-idempotent")
@click.argument("node", metavar="STEP|MODEL")
@_PROJECT
@click.option("--pipeline", "-p", help="Pipeline the two runs are of; its name is in the key.")
@click.option("--logical-date", type=_Moment(), help="What they stand for; now by default.")
@click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="Column not to compare; * is any text."
)
@_PLAN_FORMAT
@profile_options
def check_idempotent(node: str, ignore: tuple[str, ...], format: str, **given: Any) -> int:
    """Run a step or model twice on a scratch copy or schema, and compare what it leaves.

    Exits with 0 when the second run changed nothing, with 1 when it did or failed, and with 2
    when that cannot be told.
    """
    from dbtorch.cli.check import check_idempotent

    return check_idempotent(_options(given), node, ignore, format)
