"""`dbtorch check-idempotent`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, options_of
from dbtorch.cli.options import Helped, profile_options
from dbtorch.cli.param_types import Moment
from dbtorch.cli.text.terminal import echo, note, warn

_EXAMPLES = (
    ("dbtorch check-idempotent ingest_orders", "a step of dbtorch.yml"),
    (
        "dbtorch check-idempotent fct_orders --ignore loaded_at",
        "without a column that always changes",
    ),
)


@click.command("check-idempotent", cls=Helped, examples=_EXAMPLES, page="steps")
@click.argument("node", metavar="STEP|MODEL")
@PROJECT
@click.option("--pipeline", "-p", help="Pipeline the two runs are of; its name is in the key.")
@click.option("--logical-date", type=Moment(), help="Logical date of both runs; now by default.")
@click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="Column not to compare; * is any text."
)
@FORMAT
@profile_options
def check_idempotent(node: str, ignore: tuple[str, ...], format: str, **given: Any) -> int:
    """Run a step or model twice on a scratch copy or schema, and compare what it leaves.

    Exits with 0 when the second run changed nothing, with 1 when it did or failed, and with 2
    when nobody can say.
    """
    from dbtorch.cli.errors import NODE_FAILED, OK
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.idempotency import idempotency_json, idempotency_text
    from dbtorch.service.idempotency.check import check_idempotent

    with Signals():
        found = check_idempotent(
            options_of(given), node, ignore=ignore, say=lambda what: note(f"{what} …"), warn=warn
        )
    echo(idempotency_json(found) if format == "json" else idempotency_text(found))
    return OK if found.verdict.idempotent else NODE_FAILED
