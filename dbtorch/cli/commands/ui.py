"""`dbtorch ui`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import ARTIFACTS, PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch ui", "on this machine, at http://127.0.0.1:8485/"),
    ("dbtorch ui --host 0.0.0.0", "for others, who need the token that it prints"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="ui")
@click.option("--host", default="127.0.0.1", help="Address that it answers on.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8485, help="Its port; 0: any.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="Further name it may be called by."
)
@click.option("--token", help="What people must have (DBTORCH_UI_TOKEN).")
@click.option("--root-path", default="", metavar="PATH", help="Where a proxy has put it.")
@PROJECT
@STORE
@ARTIFACTS
def ui(
    host: str, port: int, hosts: tuple[str, ...], token: str | None, root_path: str, **given: Any
) -> int:
    """Show pipelines, runs and logs in a browser, until SIGTERM or Ctrl-C."""
    from dbtorch.service.project.options import RunOptions
    from dbtorch.web.serve import UiOptions, serve

    options = UiOptions(
        host=host,
        port=port,
        hosts=hosts,
        token=token or "",
        root_path=root_path,
        options=RunOptions(
            project_dir=given["project_dir"],
            database_url=given["database_url"],
            artifacts_url=given["artifacts_url"],
        ),
    )
    return serve(options, say=echo)
