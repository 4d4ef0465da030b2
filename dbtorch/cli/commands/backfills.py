"""`dbtorch backfills`."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, STORE, reason
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch backfills", "how far each is that is not over"),
    ("dbtorch backfills pause daily", "nothing more of it starts"),
    ("dbtorch backfills resume b-1a2b3c4d", "also on another machine"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.argument("action", type=click.Choice(["pause", "resume", "cancel"]), required=False)
@click.argument("backfill", required=False)
@click.option("--all", "over", is_flag=True, help="Those that are over, too.")
@reason()
@FORMAT
@PROJECT
@STORE
def backfills(
    action: str | None, backfill: str | None, over: bool, reason: str, format: str, **given: Any
) -> int:
    """Show how far backfills are; pause, resume or cancel one, by its id or its pipeline.

    One that is resumed is run by `dbtorch serve`, or else by this command.
    """
    from dbtorch.cli.text import backfills as text
    from dbtorch.core.errors import UsageError
    from dbtorch.service.history.store import history_of
    from dbtorch.service.project.options import RunOptions
    from dbtorch.service.project.project import open_project
    from dbtorch.service.schedule import backfills as of

    options = RunOptions(project_dir=given["project_dir"], database_url=given["database_url"])
    project = open_project(options.project_dir, options.environ)
    if action is not None and backfill is None:
        raise UsageError(f"say which backfill to {action}: its id, or its pipeline")
    with closing(history_of(project, options, create=True)) as store:
        if action is None or backfill is None:
            found = of.progress(store, over=over)
            echo(text.backfills_json(found) if format == "json" else text.backfills_text(found))
        elif action == "pause":
            echo(text.state_text(of.pause_backfill(store, backfill)))
        elif action == "cancel":
            one, runs = of.cancel_backfill(store, backfill, reason=reason)
            echo(text.state_text(one) + (f"; ends {', '.join(runs)}" if runs else ""))
        else:
            from dbtorch.cli.backfilling import drive

            environ = {**os.environ}
            if options.database_url:
                environ["DBTORCH_DATABASE_URL"] = options.database_url
            one = of.resume_backfill(store, backfill)
            return drive(store, project.config, project.dir, one, environ)
    return OK
