"""`dbtorch serve`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import ARTIFACTS, PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.param_types import Duration

_EXAMPLES = (
    ("dbtorch serve", "this project, answering HTTP on loopback"),
    ("dbtorch serve --max-runs 4 --grace 20s", "at most four runs at once"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.option("--host", default="127.0.0.1", help="Address that HTTP is answered on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8484, help="Its port; 0: any.")
@click.option("--http/--no-http", default=True, help="Answer pages, /metrics and webhooks.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="Further name it may be called by."
)
@click.option("--token", help="What readers of the pages must have (DBTORCH_UI_TOKEN).")
@click.option("--root-path", default="", metavar="PATH", help="Where a proxy has put it.")
@click.option("--max-runs", type=click.IntRange(1, 10_000), default=16, help="Runs at once.")
@click.option(
    "--grace", type=Duration(), help="From asking steps and queries to end to killing them."
)
@click.option(
    "--warm/--no-warm",
    default=True,
    help="Keep a process with dbt imported, for runs to start fast.",
)
@PROJECT
@STORE
@ARTIFACTS
def serve(max_runs: int, grace: float | None, **given: Any) -> int:
    """Start each pipeline by its schedule, until SIGTERM; several servers may share one Postgres.

    Prints one JSON object a line. SIGHUP, or a change of dbtorch.yml, reads that again.
    """
    from dbtorch.schedule.serve import ServeOptions, serve

    options = ServeOptions(
        project_dir=given["project_dir"],
        database_url=given["database_url"],
        artifacts_url=given["artifacts_url"],
        host=given["host"],
        port=given["port"] if given["http"] else None,
        hosts=given["hosts"],
        token=given["token"] or "",
        root_path=given["root_path"],
        max_runs=max_runs,
        grace=grace,
        warm=given["warm"],
    )
    return serve(options)
