"""dbt's artifacts, checked against the JSON schemas that dbt's own classes come to."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.environments import cache as kept_by_tests
from tests.environments import locked

#: Numbers with a fraction are times: what a macro of dbt is but for when it was read, is checked once.
_FRACTION = re.compile(r"(?<=: )-?\d+\.\d+(e[+-]?\d+)?(?=[,}])")


#: Says what they come to, which takes dbt longer than it takes to build a small project.
_SCHEMAS = """
import json
import dbt.cli.main
from dbt.artifacts.schemas.manifest import WritableManifest
from dbt.artifacts.schemas.run import RunResultsArtifact
classes = {"manifest.json": WritableManifest, "run_results.json": RunResultsArtifact}
print(json.dumps({name: found.json_schema() for name, found in classes.items()}))
"""


@cache
def _validators() -> dict[str, Draft202012Validator]:
    """By the name of the file; what they check is worked out once for each dbt, and kept."""
    made_by = "-".join(f"{name}-{version(name)}" for name in ("dbt-core", "mashumaro"))
    file = kept_by_tests() / f"schemas-{made_by}-python{sys.version_info.minor}.json"
    with locked(file.with_name(f"{file.name}.lock")):
        if not file.exists():
            text = subprocess.check_output([sys.executable, "-c", _SCHEMAS], text=True)
            new = file.with_name(f"{file.name}.new")
            new.write_text(text)
            new.replace(file)
    schemas = json.loads(file.read_text())
    return {name: Draft202012Validator(schema) for name, schema in schemas.items()}


#: Entries of mappings that were valid, as text, by the file and the mapping that they are in.
_valid: set[tuple[str, str, str]] = set()


def invalid(target_path: Path) -> list[str]:
    """What is wrong with the artifacts in dbt's target path, one sentence each."""
    problems: list[str] = []
    for name in _validators():
        file = target_path / name
        if not file.exists():
            problems.append(f"{name} is missing")
            continue
        problems += found_in(name, json.loads(file.read_text()))
    return problems


def found_in(name: str, content: dict[str, Any]) -> list[str]:
    """What is wrong with an artifact of this name; entries that were valid before are so again."""
    looked_at = dict(_new(name, content))
    problems = [
        f"{name}: {_where(error.absolute_path)}: {error.message[:300]}"
        for error in _validators()[name].iter_errors(looked_at)
    ]
    if not problems:
        for key, entries in looked_at.items():
            if isinstance(entries, dict):
                _valid.update((name, key, _text(one)) for one in entries.values())
    return problems


def _new(name: str, content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()):
            yield key, {id: x for id, x in value.items() if (name, key, _text(x)) not in _valid}
        else:
            yield key, value


def _text(entry: Any) -> str:
    return _FRACTION.sub("1.5", json.dumps(entry))


def _where(path: Any) -> str:
    return ".".join(str(part) for part in path)
