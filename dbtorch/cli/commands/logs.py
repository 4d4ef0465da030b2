"""`dbtorch logs`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import ARTIFACTS, FORMAT, MOST, PROJECT, STORE
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo
from dbtorch.core.errors import UsageError

_EXAMPLES = (
    ("dbtorch logs orders", "of the newest run"),
    ("dbtorch logs 20260301T06 orders", "of an earlier one"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="recover")
@click.argument("names", nargs=-1, required=True, metavar="[RUN] NODE")
@click.option("--attempt", type=click.IntRange(1, MOST), help="Which one; the last by default.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the attempt has ended.")
@FORMAT
@PROJECT
@STORE
@ARTIFACTS
def logs(
    names: tuple[str, ...], attempt: int | None, follow: bool, format: str, **given: Any
) -> int:
    """Show the log of a NODE of a RUN, of the latest one if none is named."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.text.log import log_json, log_text
    from dbtorch.service.history.logs import find_log
    from dbtorch.service.history.store import open_history
    from dbtorch.service.project.artifacts import artifacts_for_reading
    from dbtorch.service.project.project import find_project_dir

    if len(names) > 2:
        raise UsageError(f"logs takes a RUN and a NODE, and {names[2]!r} is one more")
    run, node = names if len(names) == 2 else ("latest", names[0])
    folder = find_project_dir(given["project_dir"])
    with open_history(given["project_dir"], given["database_url"]) as store:
        if len(names) == 1 and (node == "latest" or store.find(node)):
            raise UsageError(
                f"{node} is a run: name a node of it, too; `dbtorch show {node}` has them"
            )
        found = find_log(
            store,
            run,
            node,
            attempt=attempt,
            project_dir=folder,
            follow=follow,
            artifacts=lambda: artifacts_for_reading(folder, given["artifacts_url"]),
        )
        for text in [log_json(found)] if format == "json" else log_text(found):
            echo(text)
    return OK
