"""`dbtorch show`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch show", "the newest run"),
    ("dbtorch show 20260301T06 --all", "an earlier one, every node of it"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="recover")
@click.argument("run", default="latest")
@click.option("--all", "all_nodes", is_flag=True, help="All nodes, also of a long run.")
@FORMAT
@PROJECT
@STORE
def show(run: str, all_nodes: bool, format: str, **given: Any) -> int:
    """Show one RUN: "latest", an id, or its beginning."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.text.run import run_json_text, run_text
    from dbtorch.service.history.run import show_run
    from dbtorch.service.history.store import open_history

    with open_history(given["project_dir"], given["database_url"]) as store:
        found = show_run(store, run)
    if format == "json":
        echo(run_json_text(found))
    else:
        echo("\n".join(run_text(found, all_nodes=all_nodes)))
    return OK
