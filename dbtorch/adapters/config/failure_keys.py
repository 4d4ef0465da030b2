"""Keys of a rule that says what a failure is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.config.field_types import section
from dbtorch.adapters.config.problems import Path, Report
from dbtorch.core.failures.evidence import Rule


def _names_evidence(written: Mapping[str, Any], at: Path, report: Report) -> None:
    if not set(written) - {"class"}:
        names = ", ".join(key.name for key in RULE.keys if key.name != "class")
        report.wrong(at, f"names no evidence; give it one of {names}")


RULE = section(Rule, title="failure_classes", check=_names_evidence, shape={"minProperties": 2})
