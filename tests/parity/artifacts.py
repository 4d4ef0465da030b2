"""dbt's artifacts, checked against the JSON schemas that dbt's own classes come to."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

#: Numbers with a fraction are times: what a macro of dbt is but for when it was read, is checked once.
_FRACTION = re.compile(r"(?<=: )-?\d+\.\d+(e[+-]?\d+)?(?=[,}])")


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
