"""`dbtorch status`."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, STORE, options_of
from dbtorch.cli.options import DbtCommand, profile_options
from dbtorch.cli.text.terminal import echo, note, warn

_EXAMPLES = (
    ("dbtorch status", "everything that has an age"),
    (
        "dbtorch status --check --alert",
        "in a cron job: alerts the owners of what is late",
    ),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="freshness")
@PROJECT
@click.option("--check", is_flag=True, help="Ask dbt how fresh the sources are now.")
@click.option("--alert", is_flag=True, help="Send an alert to the owners of what is stale, once.")
@FORMAT
@STORE
@profile_options
def status(check: bool, alert: bool, format: str, **given: Any) -> int:
    """Show how old pipelines, sources and models are, healthy or not, and why.

    Reads the history and dbt's last manifest.json. Exits with 0 when nothing is wrong, and with 3
    when something is older than it may be or the last run of a pipeline failed. Runs nothing.
    """
    from dbtorch.cli.errors import GATED, OK
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.status import notified_text, status_json, status_text
    from dbtorch.service.health.health import health
    from dbtorch.service.health.owners import require_alerts, tell_owners
    from dbtorch.service.history.store import history_of
    from dbtorch.service.project.project import open_project

    options, target = options_of(given), given["dbt_target"]
    project = open_project(options.project_dir)
    if alert:
        require_alerts(project)
    with Signals(), closing(history_of(project, options, writes=alert)) as store:
        found = health(project, store, options, target=target, check=check, warn=warn)
        echo(status_json(found) if format == "json" else "\n".join(status_text(found)))
        for line in notified_text(tell_owners(project, store, found)) if alert else ():
            note(line)
    unwell = found.healthy is False or (target and not found.standing.runs)
    return GATED if unwell else OK
