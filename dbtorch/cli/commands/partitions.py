"""`dbtorch partitions`."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PIPELINE, PROJECT, STORE, options_of
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo, warn

_EXAMPLES = (
    ("dbtorch partitions daily", "a calendar of a pipeline's partitions"),
    ("dbtorch partitions fct_orders --from 2026-11-01", "of a model, since a day"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="scheduling")
@click.argument("name", metavar="PIPELINE|MODEL")
@click.option("--from", "first", help="From which partition on; the newest by default.")
@click.option("--to", "last", help="Up to which, included.")
@PIPELINE
@FORMAT
@PROJECT
@STORE
def partitions(name: str, first: str | None, last: str | None, format: str, **given: Any) -> int:
    """Show which partitions of a pipeline, model or step are done.

    Others are missing, failed, running, of older code, or wait for late data.
    """
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.colour import colours_for
    from dbtorch.cli.text.partitions import partitions_json, partitions_text
    from dbtorch.service.schedule.partitions import partition_table

    with Signals():
        found = partition_table(options_of(given), name, first=first, last=last, warn=warn)
    colours = colours_for(sys.stdout, os.environ)
    echo(partitions_json(found) if format == "json" else partitions_text(found, colours))
    return OK
