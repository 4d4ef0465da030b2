"""`dbtorch backfill`."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PARAMS, PROJECT, STORE, options_of, reason
from dbtorch.cli.options import DbtCommand, backfill_options
from dbtorch.cli.text.terminal import echo, note, warn

_EXAMPLES = (
    ("dbtorch backfill daily --from 2026-01-01 --to 2026-03-31", "what is missing of a quarter"),
    ("dbtorch backfill daily --stale-code --dry-run", "what a change of code has to build again"),
    ("dbtorch backfill daily --from 2026-03-01 --reprocess completed -s fct_orders+", "a part"),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="scheduling")
@click.argument("pipeline")
@click.option("--from", "first", help="First partition, or a day in it; the first of all.")
@click.option("--to", "last", help="Last one, included; the last that is over.")
@backfill_options
@click.option(
    "--reprocess",
    type=click.Choice(["none", "failed", "completed"]),
    default="none",
    help="Which partitions run besides those that are missing.",
)
@click.option("--missing", is_flag=True, help="Only those that are missing.")
@click.option("--failed", is_flag=True, help="Only those whose last run failed.")
@click.option("--stale-code", is_flag=True, help="Only those that older code has built.")
@click.option("--late", is_flag=True, help="Only those that wait for late data (lookback).")
@click.option("--max-active", type=click.IntRange(1, 64), default=1, help="How many runs at once.")
@click.option(
    "--merge", type=click.IntRange(1, 1000), default=1, help="Partitions of one run, at most."
)
@click.option("--reverse", is_flag=True, help="The newest first.")
@click.option("--dry-run", is_flag=True, help="Show what would run, and run nothing.")
@PARAMS
@reason()
@FORMAT
@PROJECT
@STORE
def backfill(pipeline: str, first: str | None, last: str | None, **given: Any) -> int:
    """Run partitions of PIPELINE again that are over, by the code that runs every day.

    With `dbtorch serve` that runs them; without one this command does.
    """
    from dbtorch.cli.errors import OK
    from dbtorch.cli.text.backfills import plan_json, plan_text
    from dbtorch.core.schedule.coverage import Status
    from dbtorch.service.history.store import history_of
    from dbtorch.service.project.project import open_project
    from dbtorch.service.schedule.backfill import BackfillRequest, begin_backfill, plan_backfill

    words = _words(given)
    given["pipeline"] = pipeline
    options = options_of(given)
    chosen = (
        (Status.MISSING, given["missing"]),
        (Status.FAILED, given["failed"]),
        (Status.STALE, given["stale_code"]),
    )
    request = BackfillRequest(
        first=first,
        last=last,
        reprocess=given["reprocess"],
        only=frozenset(status for status, wanted in chosen if wanted),
        late=given["late"],
        max_active=given["max_active"],
        merge=given["merge"],
        reverse=given["reverse"],
        words=words,
        reason=given["reason"],
    )
    plan = plan_backfill(options, request, warn=warn)
    if given["dry_run"]:
        echo(plan_json(plan) if given["format"] == "json" else plan_text(plan))
        return OK
    project = open_project(options.project_dir, options.environ)
    with closing(
        history_of(project, options, options.dbt_args_for(project.config), create=True)
    ) as store:
        one = begin_backfill(store, plan)
        for text in plan.notes:
            note(text)
        from dbtorch.cli.backfilling import drive

        environ = {**os.environ}
        if options.database_url:
            environ["DBTORCH_DATABASE_URL"] = options.database_url
        return drive(store, project.config, project.dir, one, environ)


def _words(given: dict[str, Any]) -> tuple[str, ...]:
    """Further words of each run."""
    words = [word for text in given["dbt_select"] for word in ("--select", text)]
    words += [word for text in given["dbt_exclude"] for word in ("--exclude", text)]
    words += [word for name, text in given["params"] for word in ("--param", f"{name}={text}")]
    target = given["dbt_target"]
    return (*words, "--target", target) if target else tuple(words)
