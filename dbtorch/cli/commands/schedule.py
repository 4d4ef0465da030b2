"""`dbtorch schedule`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, STORE
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.param_types import Moment
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch schedule", "when every pipeline runs next"),
    ("dbtorch schedule daily --from 2026-10-24 --count 3", "around a change of the clock"),
    ("dbtorch schedule --past", "what ran, was late or skipped, and why"),
)

#: Times of a pipeline that are found within seconds.
_MOST = 10_000


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.argument("pipeline", required=False)
@click.option("--from", "since", type=Moment(), help="After which moment; now by default.")
@click.option(
    "--count", type=click.IntRange(1, _MOST), default=5, help="How many of each pipeline."
)
@click.option("--past", is_flag=True, help="What became of times that are over, newest first.")
@FORMAT
@PROJECT
@STORE
def schedule(
    pipeline: str | None,
    since: datetime | None,
    count: int,
    past: bool,
    format: str,
    **given: Any,
) -> int:
    """Show when pipelines run next, or what became of the times before.

    Times are in the zone of each schedule.
    """
    from dbtorch.cli.text import schedule as text

    if past:
        from dbtorch.service.history.store import open_history
        from dbtorch.service.project.project import open_project
        from dbtorch.service.schedule.upcoming import past_ticks

        config = open_project(given["project_dir"]).config
        with open_history(given["project_dir"], given["database_url"]) as store:
            ticks = past_ticks(store, config, pipeline, count=count)
        echo(text.past_json(ticks) if format == "json" else text.past_text(ticks))
        return OK
    from dbtorch.service.schedule.upcoming import next_runs

    now = datetime.now(UTC)
    found = next_runs(
        given["project_dir"],
        pipeline,
        since=since or now,
        count=count,
        database_url=given["database_url"],
    )
    echo(
        text.schedule_json(found) if format == "json" else text.schedule_text(found, now, pipeline)
    )
    return OK
