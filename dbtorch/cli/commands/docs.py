"""`dbtorch docs`."""

from __future__ import annotations

import click

from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch docs", "which pages there are"),
    ("dbtorch docs configuration", "all keys of dbtorch.yml"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="quickstart")
@click.argument("page", required=False)
def docs(page: str | None) -> int:
    """Print a PAGE of the documentation, or which ones there are."""
    from dbtorch.cli.text.docs import docs

    return docs(page, echo=echo)
