"""click commands of `dbtorch alerts`."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, STORE
from dbtorch.cli.options import Helped, HelpedGroup
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch alerts test --dry-run", "what would be sent, and where"),
    ("dbtorch alerts list --all", "what waits, and what was delivered"),
)


@click.group(cls=HelpedGroup, examples=_EXAMPLES, page="alerts")
def alerts() -> None:
    """Try out, list and deliver alerts."""


@alerts.command(
    cls=Helped, examples=[("dbtorch alerts test --dry-run", "to read first")], page="alerts"
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and where; send nothing.")
@click.option("--pipeline", "-p", help="Of which pipeline; the first one by default.")
@PROJECT
def test(dry_run: bool, pipeline: str | None, project_dir: str | None) -> int:
    """Send an example of every alert to where it would go."""
    from dbtorch.cli.errors import NODE_FAILED, OK
    from dbtorch.service.alerts.trial import trials_of
    from dbtorch.service.project.project import open_project

    trials = trials_of(open_project(project_dir), pipeline)
    for name, why in trials.off.items():
        echo(f"{name}: off, {why}")
    failed = bool(trials.off)
    if dry_run:
        for one in trials.messages:
            echo(f"{one.what} -> {one.place}")
            echo(textwrap.indent(one.preview, "    ") + "\n")
        return NODE_FAILED if failed else OK
    for one, why in trials.send():
        echo(f"{one.what} -> {one.place}: {f'not sent, {why}' if why else 'sent'}")
        failed = failed or bool(why)
    return NODE_FAILED if failed else OK


@alerts.command(
    cls=Helped, examples=[("dbtorch alerts flush", "after an outage of a channel")], page="alerts"
)
@PROJECT
@STORE
def flush(**given: Any) -> int:
    """Deliver now what waits in the outbox."""
    from dbtorch.cli.errors import NODE_FAILED, OK
    from dbtorch.cli.text.outbox import flushed_text, refused_text
    from dbtorch.service.alerts.outbox import flush
    from dbtorch.service.history.store import open_history
    from dbtorch.service.project.project import open_project

    project = open_project(given["project_dir"])
    with open_history(given["project_dir"], given["database_url"], writes=True) as store:
        done = flush(project, store, refused=lambda one, why: echo(refused_text(one, why)))
    for name, why in done.off.items():
        echo(f"{name}: off, {why}")
    echo(flushed_text(done))
    return NODE_FAILED if done.left else OK


@alerts.command(
    name="list",
    cls=Helped,
    examples=[("dbtorch alerts list --all", "also delivered ones")],
    page="alerts",
)
@click.option("--all", "everything", is_flag=True, help="Those that were delivered, too.")
@click.option("--run", "run_id", help="Of one run only.")
@FORMAT
@PROJECT
@STORE
def list_(everything: bool, run_id: str | None, format: str, **given: Any) -> int:
    """List what waits in the outbox, and why."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.text.outbox import outbox_json, outbox_text
    from dbtorch.service.alerts.outbox import list_messages
    from dbtorch.service.history.store import open_history

    pending = not everything
    with open_history(given["project_dir"], given["database_url"]) as store:
        found = list_messages(store, run_id=run_id, pending=pending)
    echo(outbox_json(found) if format == "json" else outbox_text(found, pending=pending))
    return OK
