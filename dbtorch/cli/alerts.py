"""click commands of `dbtorch alerts`."""

from __future__ import annotations

from typing import Any

import click

_PROJECT = click.option("--project-dir", help="Folder of the dbt project.")
_STORE = click.option("--database-url", help="Where the history is kept (DBTORCH_DATABASE_URL).")


@click.group()
def alerts() -> None:
    """Try out, list and deliver alerts."""


@alerts.command()
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and where; send nothing.")
@click.option("--pipeline", "-p", help="Of which pipeline; the first one by default.")
@_PROJECT
def test(dry_run: bool, pipeline: str | None, project_dir: str | None) -> int:
    """Send an example of every alert to where it would go."""
    from dbtorch.adapters.clock import SystemClock
    from dbtorch.cli.alert_trial import try_out
    from dbtorch.cli.project import open_project

    project = open_project(project_dir)
    return try_out(project, pipeline, SystemClock(), dry_run=dry_run, echo=click.echo)


@alerts.command()
@_PROJECT
@_STORE
def flush(**given: Any) -> int:
    """Deliver at once what waits in the outbox."""
    from dbtorch.adapters.clock import SystemClock
    from dbtorch.cli.alert_outbox import flush
    from dbtorch.cli.project import open_project
    from dbtorch.cli.reading import opened_store

    project = open_project(given["project_dir"])
    with opened_store(given) as store:
        return flush(project, store, SystemClock(), echo=click.echo)


@alerts.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Those that were delivered, too.")
@click.option("--run", "run_id", help="Of one run only.")
@click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")
@_PROJECT
@_STORE
def list_(everything: bool, run_id: str | None, format: str, **given: Any) -> int:
    """List what waits in the outbox, and why."""
    from dbtorch.cli.alert_outbox import list_messages
    from dbtorch.cli.reading import opened_store

    with opened_store(given) as store:
        return list_messages(
            store, run_id=run_id, pending=not everything, format=format, echo=click.echo
        )
