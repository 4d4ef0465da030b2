"""`dbtorch doctor`."""

from __future__ import annotations

from typing import Any

import click

from dbtorch.cli.common_options import ARTIFACTS, FORMAT, PROJECT, STORE, options_of
from dbtorch.cli.options import Helped, profile_options
from dbtorch.cli.text.terminal import echo, warn

_EXAMPLES = (
    ("dbtorch doctor", "what is wrong, and what to do"),
    ("dbtorch doctor --format json", "for programs"),
)


@click.command(cls=Helped, examples=_EXAMPLES, page="recover")
@PROJECT
@FORMAT
@STORE
@ARTIFACTS
@profile_options
def doctor(**given: Any) -> int:
    """Check interpreter, dbt, profile, connection, store and permissions."""
    from dbtorch.cli.errors import OK, USAGE
    from dbtorch.cli.signals import Signals
    from dbtorch.cli.text.doctor import finding_text, findings_json
    from dbtorch.service.doctor.examine import examine

    findings = []
    with Signals():
        for finding in examine(options_of(given), warn=warn):
            findings.append(finding)
            if given["format"] == "text":
                echo(finding_text(finding))
    if given["format"] == "json":
        echo(findings_json(findings))
    return OK if all(finding.ok for finding in findings) else USAGE
