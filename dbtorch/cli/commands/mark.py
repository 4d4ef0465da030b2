"""`dbtorch mark`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE, reason
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ('dbtorch mark latest orders success --reason "filled by hand"', "a retry goes on after it"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="recover")
@click.argument("run")
@click.argument("node")
@click.argument("state", type=click.Choice(["success", "failed"]))
@reason(required=True)
@PROJECT
@STORE
def mark(run: str, node: str, state: str, reason: str, **given: Any) -> int:
    """Set the state of a NODE in a RUN that has ended; a retry goes on from there."""
    from dbtorch.core.model.state import State
    from dbtorch.service.history.store import open_history
    from dbtorch.service.run.mark import mark

    with open_history(given["project_dir"], given["database_url"], writes=True) as store:
        said = mark(store, run, node, State(state), reason=reason)
    for sentence in said:
        echo(sentence)
    return OK
