"""`dbtorch freshness`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import FORMAT, PROJECT, options_of
from dbtorch.cli.options import DbtCommand, freshness_options
from dbtorch.cli.text.terminal import echo, warn

_EXAMPLES = (
    ("dbtorch freshness", "every source"),
    ("dbtorch freshness -s source:shop --fail-on warn", "one source, in CI"),
)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="freshness")
@PROJECT
@click.option(
    "--fail-on",
    type=click.Choice(["warn", "error"]),
    default="error",
    help="From which of dbt's thresholds on a source is stale.",
)
@FORMAT
@freshness_options
def freshness(fail_on: str, format: str, **given: Any) -> int:
    """Check the selected sources by dbt's own rules, and write sources.json.

    Exits with 0 when all are fresh, with 3 when one is stale, and with 1 when one could not be
    checked. Runs nothing.
    """
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.freshness import freshness_code, freshness_json, freshness_text
    from dbtorch.service.health.freshness import check_freshness

    with Signals():
        checks = check_freshness(options_of(given), warn=warn)
    echo(freshness_json(checks) if format == "json" else freshness_text(checks))
    return freshness_code(checks, fail_on)
