"""click commands of the verbs that only read the history. They start at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from dbtorch.ports import Store

_PROJECT = click.option("--project-dir", help="Folder of the dbt project.")
_STORE = click.option("--database-url", help="Where the history is kept (DBTORCH_DATABASE_URL).")
_FORMAT = click.option("--format", "format", type=click.Choice(["text", "json"]), default="text")


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, help="How many.")
@click.option("--pipeline", "-p", help="Of one pipeline only.")
@_FORMAT
@_PROJECT
@_STORE
def runs(limit: int, pipeline: str | None, format: str, **given: Any) -> int:
    """List runs, newest first."""
    from dbtorch.cli.history import runs

    with opened_store(given) as store:
        return runs(store, limit=limit, pipeline=pipeline, format=format, echo=click.echo)


@click.command()
@click.argument("run", default="latest")
@click.option("--all", "all_nodes", is_flag=True, help="All nodes, also of a long run.")
@_FORMAT
@_PROJECT
@_STORE
def show(run: str, all_nodes: bool, format: str, **given: Any) -> int:
    """Show one RUN: "latest", an id, or its beginning."""
    from dbtorch.cli.history import show

    with opened_store(given) as store:
        return show(store, run, format=format, all_nodes=all_nodes, echo=click.echo)


@click.command()
@click.argument("run")
@click.argument("node")
@click.option("--attempt", type=click.IntRange(min=1), help="Which one; the last by default.")
@_FORMAT
@_PROJECT
@_STORE
def logs(run: str, node: str, attempt: int | None, format: str, **given: Any) -> int:
    """Show the log of a NODE of a RUN."""
    from dbtorch.cli.history import logs
    from dbtorch.cli.project import find_project_dir

    project_dir = find_project_dir(given["project_dir"])
    with opened_store(given) as store:
        return logs(
            store,
            run,
            node,
            attempt=attempt,
            project_dir=project_dir,
            format=format,
            echo=click.echo,
        )


@contextmanager
def opened_store(given: dict[str, Any]) -> Iterator[Store]:
    """The history that the options of a command name; there must be one. Raises `StoreError`."""
    from dbtorch.adapters.store import open_store
    from dbtorch.cli.project import configured_store, find_project_dir

    project_dir = find_project_dir(given["project_dir"])
    store = open_store(
        configured_store(given["database_url"], project_dir), project_dir, create=False
    )
    try:
        yield store
    finally:
        store.close()
