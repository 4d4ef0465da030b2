"""`dbtorch report`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch report", "of the newest run, into a file named after it"),
    ("dbtorch report 20260301T06 -o run.html", "of an earlier one"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="ui")
@click.argument("run", default="latest")
@click.option("--output", "-o", metavar="FILE", help="File to write; RUN.html by default.")
@PROJECT
@STORE
def report(run: str, output: str | None, **given: Any) -> int:
    """Write one RUN as a file of HTML: "latest", an id, or its beginning."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.reporting import write

    path, size = write(run, output, given["project_dir"], given["database_url"])
    echo(f"{path} written ({size / 1000:,.0f} kB): open it in a browser")
    return OK
