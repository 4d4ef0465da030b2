"""`dbtorch validate`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import DOWNSTREAM, PIPELINE, PROJECT, options_of
from dbtorch.cli.options import DbtCommand, dbt_options
from dbtorch.cli.text.terminal import echo, note, warn

_EXAMPLES = (("dbtorch validate", "before a commit, and in CI"),)


@click.command(cls=DbtCommand, examples=_EXAMPLES, page="configuration")
@PROJECT
@PIPELINE
@DOWNSTREAM
@dbt_options
def validate(**given: Any) -> int:
    """Check dbtorch.yml, meta.dbtorch and the graph. Runs nothing."""
    from dbtorch.cli.errors import OK
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.ci import validated_text
    from dbtorch.service.lint.lint import lint
    from dbtorch.service.planning.preview import notifiers_off
    from dbtorch.service.project.project import open_project

    options = options_of(given)
    project = open_project(options.project_dir)
    with Signals():
        found = lint(options, warn=warn, note=note)
        if found.error is not None:
            raise found.error
        for name, why in notifiers_off(project).items():
            note(f"alerts.{name} would be off: {why}")
        echo(validated_text(found))
    return OK
