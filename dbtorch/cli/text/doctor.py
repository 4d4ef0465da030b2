"""What the doctor has found, as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from dbtorch.cli.text.terminal import to_json
from dbtorch.service.doctor.finding import Finding


def finding_text(finding: Finding) -> str:
    """A line, and what to do about it."""
    mark = "ok  " if finding.ok else "FAIL"
    line = f"{mark}  {finding.check:<12} {finding.found}"
    return line if finding.ok else f"{line}\n                   -> {finding.advice}"


def findings_json(findings: Sequence[Finding]) -> str:
    """For programs."""
    return to_json([asdict(finding) for finding in findings], indent=2)
