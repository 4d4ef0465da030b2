"""`dbtorch ci`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from dbtorch.cli.common_options import (
    ARTIFACTS,
    CHECKS,
    FORMAT,
    PROJECT,
    STORE,
    options_of,
)
from dbtorch.cli.options import DbtGroup, Helped, dbt_options, profile_options
from dbtorch.cli.param_types import Duration
from dbtorch.cli.text.terminal import echo, note, warn

if TYPE_CHECKING:
    from dbtorch.core.ci.result import CiResult
    from dbtorch.service.ci.options import CiOptions
    from dbtorch.service.run.control import RunControl
    from dbtorch.service.run.listener import Executed, Listen

_EXAMPLES = (
    ("dbtorch ci", "in a CI job of a pull request"),
    ("dbtorch ci --pr 12 --state prod-state -t ci", "by hand, with a folder of dbt's artifacts"),
    ("dbtorch ci --merge", "in a CI job of the main branch"),
    ("dbtorch ci --empty", "only whether everything compiles and fits together"),
    ("dbtorch ci --lint", "in seconds and without a warehouse: what the files alone show"),
)

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(invoke_without_command=True, cls=DbtGroup, examples=_EXAMPLES, page="pull-requests")
@PROJECT
@click.option("--merge", is_flag=True, help="Build what was merged in production, and publish.")
@click.option("--pr", default="", help="Number of the pull request; the CI system says it.")
@click.option("--base", help="Branch or commit it goes into; the CI system says it.")
@click.option("--state-from", metavar="pipeline:NAME", help="Production pipeline to compare with.")
@click.option("--max-state-age", type=Duration(), help="Oldest state to compare with; 7d.")
@click.option("--no-state", type=click.Choice(["full"]), help="Build everything, compare nothing.")
@click.option("--schema", help="Name of its schema, of {schema} and {pr}; {schema}_pr_{pr}.")
@click.option(
    "--clone",
    type=click.Choice(["auto", "copy", "off"]),
    default="auto",
    help="Begin incremental models with production's rows: cloned, else copied, or not at all.",
)
@click.option("--limit-event-time", type=Duration(), help="Build from the last hours or days.")
@click.option("--max-duration", type=Duration(), help="Refuse what would take longer.")
@click.option("--skip-forks", is_flag=True, help="Exit with 0 where a fork's job has no secrets.")
@click.option("--compare/--no-compare", default=True, help="Compare rows with production's.")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Column not to compare; * is any.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=1e-9,
    help="Relative difference of floats that is none; 1e-9.",
)
@click.option(
    "--sample-above",
    type=click.IntRange(1, 10**12),
    default=1_000_000,
    help="Rows from which a sample is compared; 1000000.",
)
@click.option(
    "--freshness",
    type=click.Choice(["report", "gate", "off"]),
    default="report",
    help="Say how fresh sources are, block what reads stale ones, or do not look.",
)
@CHECKS
@click.option("--junit", type=_FILE, help="Write a report in JUnit's XML.")
@click.option("--comment-file", type=_FILE, help="Write a comment for the pull request, Markdown.")
@click.option("--comment", is_flag=True, help="Post that comment, or update it; needs a token.")
@click.option("--lint", is_flag=True, help="Build nothing and ask no warehouse: check the files.")
@click.option("--baseline", type=_FILE, help="With --lint: file of findings that are known.")
@click.option("--update-baseline", is_flag=True, help="With --lint: write what is found there.")
@click.option("--code-quality", type=_FILE, help="Write a report for GitLab's code quality.")
@FORMAT
@STORE
@ARTIFACTS
@dbt_options
@click.pass_context
def ci(
    context: click.Context,
    /,
    format: str,
    junit: Path | None,
    comment_file: Path | None,
    comment: bool,
    code_quality: Path | None,
    skip_forks: bool,
    merge: bool,
    lint: bool,
    **given: Any,
) -> int:
    """Build what a pull request changes beside production, and compare the two."""
    if context.invoked_subcommand is not None:
        return 0
    if lint:
        _refuse_others(context, _OF_LINT, "--lint builds nothing")
        return _lint(given, code_quality, as_json=format == "json")
    if given["baseline"] is not None or given["update_baseline"]:
        raise click.UsageError("--baseline is of --lint: say that, too.")
    from dbtorch.cli.errors import OK
    from dbtorch.cli.executed import executed
    from dbtorch.cli.text.ci import ci_json, ci_text
    from dbtorch.service.ci.ci import ci
    from dbtorch.service.ci.forks import NoSecrets
    from dbtorch.service.ci.reports import Reports, post, write_reports

    options = _ci_options(given)
    if merge:
        return _merged(context, options)
    found: list[CiResult] = []

    def work(listen: Listen, control: RunControl) -> Executed:
        ended, result = ci(options, listen, control, say=note)
        found.append(result)
        return ended

    as_json = format == "json"
    stream = sys.stderr if as_json else None
    try:
        code = executed(work, log_format="text", quiet=as_json, stream=stream)
    except NoSecrets as error:
        if not skip_forks:
            raise
        warn(str(error))
        return OK
    for result in found:
        for said in result.notes:
            warn(said)
        below = "" if as_json or result.empty else "\n"  # what is said of the run
        echo(ci_json(result) if as_json else f"{below}{ci_text(result)}")
        said = write_reports(
            Reports(junit=junit, comment=comment_file, code_quality=code_quality),
            result,
            options.run,
        )
        if comment and (why := post(result, options.run)):
            warn(why)
        if said:
            echo(said.rstrip(), err=as_json)
    return code


#: Options that a merge and lint have besides dbt's own; a merge has those of where things are.
_OF_MERGE = {"merge", "project_dir", "database_url", "artifacts_url", "checks"}
_OF_MERGE |= {"dbt_state", "state_from", "no_state"}
_OF_LINT = {"lint", "baseline", "update_baseline", "code_quality", "format", "project_dir"}
_OF_LINT |= {"dbt_target"}


def _refuse_others(context: click.Context, own: set[str], why: str) -> None:
    """Refuse what would be heard and do nothing."""
    from dbtorch.core.errors import UsageError

    for param in context.command.params:
        name = str(param.name)
        mine = name in own or (name.startswith("dbt_") and name != "dbt_target")
        if not mine and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            said = "--merge" if "merge" in own else "--lint"
            raise UsageError(f"{param.opts[0]} and {said} do not go together: {why}")


def _merged(context: click.Context, options: CiOptions) -> int:
    """Build in production; refuse what says how a pull request is built and reported."""
    from dbtorch.cli.executed import executed
    from dbtorch.service.ci.merge import merge

    why = "a merge builds in production, by the target of its pipeline, and is shown as any run is"
    _refuse_others(context, _OF_MERGE, why)
    return executed(
        lambda listen, control: merge(options, listen, control, say=note),
        log_format="text",
        quiet=False,
    )


def _lint(given: dict[str, Any], code_quality: Path | None, *, as_json: bool) -> int:
    """Check the files of the project; answers the exit code."""
    from dbtorch.cli.errors import NODE_FAILED, OK, exit_code
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.ci import lint_json, lint_text
    from dbtorch.service.ci.reports import write_findings
    from dbtorch.service.lint.baseline import Baseline
    from dbtorch.service.lint.lint import lint

    options = options_of(given)
    baseline = Baseline(file=given["baseline"], update=given["update_baseline"])
    with Signals():
        found = baseline.apart(lint(options, warn=warn, note=note))
    echo(lint_json(found) if as_json else lint_text(found))
    if said := write_findings(found.findings, code_quality, options):
        echo(said.rstrip(), err=as_json)
    if found.error is not None:
        return exit_code(found.error)
    return OK if found.ok else NODE_FAILED


def _ci_options(given: dict[str, Any]) -> CiOptions:
    """What click has parsed, as one value."""
    from dbtorch.core.ci.comparison import How
    from dbtorch.service.ci.options import MAX_AGE, SCHEMA, CiOptions, Cloning, Freshness

    age, state = given["max_state_age"], given["dbt_state"]
    named = state and Path(state).exists() and str(Path(state).resolve())
    return CiOptions(
        run=options_of(given),
        pr=given["pr"],
        base=given["base"],
        state=named or state,
        state_from=given["state_from"],
        max_state_age=MAX_AGE if age is None else age,
        full=given["no_state"] is not None,
        schema=given["schema"] or SCHEMA,
        favor_state=given["dbt_favor_state"],
        freshness=Freshness(given["freshness"]),
        clone=Cloning(given["clone"]),
        compare=given["compare"],
        how=How(
            ignore=given["ignore"],
            tolerance=given["tolerance"],
            sample_above=given["sample_above"],
        ),
        limit_event_time=given["limit_event_time"],
        max_duration=given["max_duration"],
    )


_CLEANUP = (
    ("dbtorch ci cleanup", "list the schemas of pull requests"),
    ("dbtorch ci cleanup --pr 12 --yes", "after a pull request was closed"),
    ("dbtorch ci cleanup --closed --yes", "every night, in a job that has a token"),
    ("dbtorch ci cleanup --older-than 7d --yes", "every night, in any other"),
)


@ci.command(cls=Helped, examples=_CLEANUP, page="pull-requests")
@PROJECT
@click.option("--pr", multiple=True, help="Number of a pull request.")
@click.option("--closed", is_flag=True, help="Those that GitHub, GitLab or Bitbucket has closed.")
@click.option("--older-than", type=Duration(), help="Those in which nothing was built for so long.")
@click.option("--schema", help="How schemas are named, as in `dbtorch ci`.")
@click.option("--yes", is_flag=True, help="Drop them; without, they are listed.")
@profile_options
def cleanup(
    pr: tuple[str, ...],
    closed: bool,
    older_than: float | None,
    schema: str | None,
    yes: bool,
    **given: Any,
) -> int:
    """List and drop the schemas of pull requests: only those that dbtorch has made and marked."""
    from dbtorch.cli.errors import NODE_FAILED, OK
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.ci import cleanup_text
    from dbtorch.core.ci.schemas import Fate
    from dbtorch.service.ci.cleanup import Cleanup
    from dbtorch.service.ci.options import SCHEMA

    wanted = Cleanup(prs=pr, closed=closed, older_than=older_than, schema=schema or SCHEMA, yes=yes)
    with Signals():
        found = wanted.go(options_of(given))
    echo(cleanup_text(found))
    return NODE_FAILED if any(one.fate is Fate.FAILED for one in found) else OK
