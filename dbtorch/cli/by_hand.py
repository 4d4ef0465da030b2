"""click commands of the verbs that change a run by hand and need no dbt."""

from __future__ import annotations

from typing import Any

import click

_PROJECT = click.option("--project-dir", help="Folder of the dbt project.")
_STORE = click.option("--database-url", help="Where the history is kept (DBTORCH_DATABASE_URL).")
_REASON = click.option("--reason", default="", help="Why; it is kept in the history.")


@click.command()
@click.argument("run")
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@_REASON
@click.option("--wait/--no-wait", default=True, help="Wait until it has happened.")
@_PROJECT
@_STORE
def cancel(run: str, nodes: tuple[str, ...], reason: str, wait: bool, **given: Any) -> int:
    """Cancel a RUN that is under way, or single nodes of it and what depends on them."""
    from dbtorch.adapters.actor import actor
    from dbtorch.cli.cancelling import cancel
    from dbtorch.cli.reading import opened_store

    with opened_store(given) as store:
        return cancel(store, run, nodes, reason=reason, wait=wait, actor=actor(), echo=click.echo)


@click.command()
@click.argument("run")
@click.argument("node")
@click.argument("state", type=click.Choice(["success", "failed"]))
@click.option("--reason", required=True, help="Why; it is kept in the history.")
@_PROJECT
@_STORE
def mark(run: str, node: str, state: str, reason: str, **given: Any) -> int:
    """Say that a NODE of a RUN that has ended succeeded or failed; a retry goes on from there."""
    from dbtorch.adapters.actor import actor
    from dbtorch.cli.marking import mark
    from dbtorch.cli.reading import opened_store
    from dbtorch.core.state import State

    with opened_store(given) as store:
        return mark(store, run, node, State(state), reason=reason, actor=actor(), echo=click.echo)
