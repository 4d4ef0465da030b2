"""`dbtorch db`: where the history is, and bringing it up to date."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import PROJECT, STORE
from dbtorch.cli.options import Helped, HelpedGroup
from dbtorch.cli.text.terminal import echo

_EXAMPLES = (
    ("dbtorch db", "where the history is"),
    ("dbtorch db upgrade", "after dbtorch itself was upgraded"),
)


@click.group(invoke_without_command=True, cls=HelpedGroup, examples=_EXAMPLES, page="production")
@PROJECT
@STORE
@click.pass_context
def db(context: click.Context, /, **given: Any) -> int:
    """Show where the history is, of which version, and whose it is; `upgrade` brings it up to date.

    `dbtorch run` upgrades a history as well, nothing else does: who still has an older dbtorch can
    no longer use it then.
    """
    from dbtorch.cli.errors import OK
    from dbtorch.service.history.schema import schema_of

    context.obj = given
    if context.invoked_subcommand is not None:
        return OK
    found = schema_of(given["project_dir"], given["database_url"])
    whose = found.identity
    echo(f"history   {found.where}")
    echo(f"schema    {_told(found.version, found.newest)}")
    echo(f"project   {whose.project_id or f'{whose.name}, which has it for itself'}")
    echo(f"target    {whose.place(whose.target)}")
    return OK


@db.command(cls=Helped, examples=[("dbtorch db upgrade", "after an upgrade")], page="production")
@PROJECT
@STORE
@click.pass_context
def upgrade(context: click.Context, /, project_dir: str | None, database_url: str | None) -> int:
    """Bring the history up to date, and take over what an older dbtorch wrote for this project."""
    from dbtorch.cli.errors import OK
    from dbtorch.service.history.schema import upgrade

    given = context.obj  # what was said before the word
    done = upgrade(project_dir or given["project_dir"], database_url or given["database_url"])
    same = done.before == done.after
    how = "is up to date" if same else f"is upgraded from schema {done.before}"
    echo(f"{done.where} {how} (schema {done.after})")
    return OK


def _told(found: int, newest: int) -> str:
    if found == 0:
        return "none yet; the first `dbtorch run` makes it"
    if found < newest:
        return f"{found}; this dbtorch knows {newest}: `dbtorch db upgrade` brings it there"
    if found > newest:
        return f"{found}, of a newer dbtorch; this one knows {newest}: upgrade dbtorch"
    return f"{found}, the newest"
