"""`dbtorch cancel`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE, reason
from dbtorch.cli.errors import NODE_FAILED, OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch cancel latest", "the newest run"),
    (
        'dbtorch cancel latest orders --reason "wrong branch"',
        "one model, and what needs it",
    ),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="recover")
@click.argument("run")
@click.argument("nodes", metavar="[NODE]...", nargs=-1)
@reason()
@click.option("--wait/--no-wait", default=True, help="Wait until it has happened.")
@PROJECT
@STORE
def cancel(run: str, nodes: tuple[str, ...], reason: str, wait: bool, **given: Any) -> int:
    """Cancel a RUN that is under way, or single nodes of it and what depends on them."""
    from dbtorch.service.history.store import open_history
    from dbtorch.service.run.cancel import cancel

    with open_history(given["project_dir"], given["database_url"], writes=True) as store:
        answer = cancel(store, run, nodes, reason=reason, wait=wait)
    for sentence in answer.sentences:
        echo(sentence)
    return OK if answer.done else NODE_FAILED
