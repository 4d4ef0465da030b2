"""`dbtorch prune`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import ARTIFACTS, PROJECT, STORE, options_of
from dbtorch.cli.errors import OK
from dbtorch.cli.options import Helped
from dbtorch.cli.param_types import Duration
from dbtorch.cli.text.terminal import echo
from dbtorch.core.errors import UsageError

_EXAMPLES = (
    ("dbtorch prune --keep 90d", "what ended more than 90 days ago"),
    ("dbtorch prune --keep 90d --dry-run", "what that would be"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="production")
@click.option(
    "--keep", type=Duration(), help="Age of what stays; `retention` of dbtorch.yml by default."
)
@click.option("--dry-run", is_flag=True, help="Remove nothing, say what would be.")
@PROJECT
@STORE
@ARTIFACTS
def prune(keep: float | None, dry_run: bool, **given: Any) -> int:
    """Remove runs that ended long ago, with their logs and measurements.

    The newest run of each pipeline and target stays whatever its age, and its newest success.
    """
    from dbtorch.core.text.moments import shown
    from dbtorch.core.text.phrases import many
    from dbtorch.service.history.prune import prune

    pruned = prune(options_of(given), keep, dry_run=dry_run)
    since = shown(pruned.before)
    if pruned.runs or pruned.folders or pruned.remote_folders:
        word = "would be removed" if dry_run else "removed"
        logs = f"{many(pruned.folders, 'folder')} of logs, {pruned.bytes / 1e6:.1f} MB"
        remote = f"; {many(pruned.remote_folders, 'folder')} at {pruned.url}" if pruned.url else ""
        echo(f"{word}: {many(len(pruned.runs), 'run')} that ended before {since} ({logs}{remote})")
    else:
        echo(f"nothing ended before {since} that may go")
    if pruned.problem:
        raise UsageError(
            f"not everything that may go is gone: {pruned.problem}; the next `dbtorch prune` tries"
            " again"
        )
    return OK
