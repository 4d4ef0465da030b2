"""`dbtorch runs`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, MOST, PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch runs", "the newest ones"),
    ("dbtorch runs -p daily --format json", "of a pipeline, for programs"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="recover")
@click.option("--limit", type=click.IntRange(1, MOST), default=20, help="How many.")
@click.option("--pipeline", "-p", help="Of one pipeline only.")
@FORMAT
@PROJECT
@STORE
def runs(limit: int, pipeline: str | None, format: str, **given: Any) -> int:
    """List runs, newest first."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.text.runs import runs_json, runs_text
    from dbtorch.service.history.runs import list_runs
    from dbtorch.service.history.store import open_history

    with open_history(given["project_dir"], given["database_url"]) as store:
        if pipeline and not store.runs(limit=1, pipeline=pipeline):
            _refuse_unknown(pipeline, given["project_dir"])
        found = list_runs(store, limit=limit, pipeline=pipeline)
    if format == "json":
        echo(runs_json(found))
    else:
        echo(runs_text(found, now=datetime.now(UTC), narrowed=bool(pipeline)))
    return OK


def _refuse_unknown(pipeline: str, project_dir: str | None) -> None:
    """Raise `UsageError` for a pipeline that never ran and that dbtorch.yml does not have."""
    from dbtorch.service.project.options import RunOptions, pipeline_of
    from dbtorch.service.project.project import open_project

    pipeline_of(open_project(project_dir).config, RunOptions(pipeline=pipeline))
