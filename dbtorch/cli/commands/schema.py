"""`dbtorch schema`."""

from __future__ import annotations

import click

from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch schema > dbtorch.schema.json", "of dbtorch.yml"),
    ("dbtorch schema --meta", "of meta.dbtorch in dbt's YAML files"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="configuration")
@click.option("--meta", is_flag=True, help="That of dbt's YAML files, for meta.dbtorch in them.")
def schema(meta: bool) -> int:
    """Print the JSON Schema of dbtorch.yml, for editors."""
    from dbtorch.cli.errors import OK
    from dbtorch.service.lint.schema import schema_text

    echo(schema_text(meta=meta))
    return OK
