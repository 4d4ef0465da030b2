"""dbt's artifacts, checked against the JSON schemas that dbt's own classes come to."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator


@cache
def _validators() -> dict[str, Draft202012Validator]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what dbt's imports warn about is not our subject
        from dbt.artifacts.schemas.manifest import WritableManifest
        from dbt.artifacts.schemas.run import RunResultsArtifact

        return {
            "manifest.json": Draft202012Validator(WritableManifest.json_schema()),
            "run_results.json": Draft202012Validator(RunResultsArtifact.json_schema()),
        }


def invalid(target_path: Path) -> list[str]:
    """What is wrong with the artifacts in dbt's target path, one sentence each."""
    problems: list[str] = []
    for name, validator in _validators().items():
        file = target_path / name
        if not file.exists():
            problems.append(f"{name} is missing")
            continue
        content = json.loads(file.read_text())
        problems += [
            f"{name}: {_where(error.absolute_path)}: {error.message[:300]}"
            for error in validator.iter_errors(content)
        ]
    return problems


def _where(path: Any) -> str:
    return ".".join(str(part) for part in path)
