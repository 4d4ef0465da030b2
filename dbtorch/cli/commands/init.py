"""`dbtorch init`."""

from __future__ import annotations

import click

from dbtorch.cli.common_options import PROJECT
from dbtorch.cli.options import Helped
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (("dbtorch init", "in the folder of dbt_project.yml"),)


@click.command(cls=Helped, examples=_EXAMPLES, page="configuration")
@PROJECT
@click.option("--force", is_flag=True, help="Replace the dbtorch.yml that is there.")
def init(project_dir: str | None, force: bool) -> int:
    """Write a commented dbtorch.yml for this project."""
    from dbtorch.cli.errors import OK
    from dbtorch.service.draft import IGNORED, write_draft
    from dbtorch.service.project.project import find_project_dir

    done = write_draft(find_project_dir(project_dir), force=force)
    verb = "Replaced" if done.replaced else "Wrote"
    echo(f"{verb} {done.path.name} for the project {done.project}.")
    if done.ignored:
        echo(f"Added {IGNORED} to .gitignore.")
    echo("Everything in it is an example in a comment: `dbtorch run` works as it is.")
    return OK
