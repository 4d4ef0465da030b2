"""`dbtorch graph`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import (
    CHECKS,
    DOWNSTREAM,
    FRESHNESS,
    PIPELINE,
    PROJECT,
    STEPS,
    options_of,
)
from dbtorch.cli.options import DbtCommand, dbt_options
from dbtorch.cli.text.terminal import echo, note, warn

_EXAMPLES = (
    ("dbtorch graph", "as text"),
    ("dbtorch graph -s +orders --format mermaid", "a part, for a page"),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="concepts")
@PROJECT
@PIPELINE
@STEPS
@DOWNSTREAM
@FRESHNESS
@CHECKS
@click.option(
    "--format", "format", type=click.Choice(["text", "mermaid", "dot", "json"]), default="text"
)
@dbt_options
def graph(**given: Any) -> int:
    """Draw the graph: steps and dbt nodes."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.graph import graph_text
    from dbtorch.service.planning.preview import open_plan

    with Signals(), open_plan(options_of(given), warn=warn, note=note) as opening:
        echo(graph_text(opening.planned.plan.graph, given["format"]))
    return OK
