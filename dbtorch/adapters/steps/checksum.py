"""What a step executes, as a checksum: its declaration, and the file of the project it names."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from dbtorch.adapters.steps.catalog import code_of
from dbtorch.core.config import Config, StepSpec


def with_checksums(config: Config, project_dir: Path) -> Config:
    """The configuration with a checksum on each step."""
    steps = {
        name: replace(spec, checksum=checksum(spec, project_dir))
        for name, spec in config.steps.items()
    }
    return replace(config, steps=steps)


def checksum(spec: StepSpec, project_dir: Path) -> str:
    """Changes when the step's declaration does, or the function, query or script it names.

    What that file imports or reads is not followed. Owner, runbook, retries and other settings
    do not count.
    """
    said = [spec.type, spec.action, spec.when, dict(spec.params), dict(spec.env)]
    found = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for path in code_of(spec, project_dir):
        try:
            found.update(path.read_bytes())
        except OSError:
            continue  # the step will say so
        break
    return found.hexdigest()[:32]
