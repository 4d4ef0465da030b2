"""A place where a node may be tried out: a copy of a DuckDB file, or schemas of its own."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml


class ScratchError(Exception):
    """There is no place to try it out; one sentence that says why and what to do."""


# ------------------------------------------------------------------------ a DuckDB file


@contextmanager
def copy_of_file(real: Path, to: Path, *, keep_lock: bool) -> Iterator[Path]:
    """A copy of a DuckDB file, under the same name, as dbt names the database after it.

    DuckDB locks its file with POSIX locks, shared ones for readers. Holding one while copying keeps
    writers away; with ``keep_lock`` also afterwards, so that nothing writes to the real file by
    mistake. Raises `ScratchError`.
    """
    copy = to / real.name
    if not real.exists():
        yield copy
        return
    # All is read through this one object: closing another one would give up the lock.
    with real.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise ScratchError(
                f"{real} is being written by another process, so it cannot be copied; "
                "try again when that is over"
            ) from error
        try:
            with copy.open("wb") as out:
                shutil.copyfileobj(file, out, 16 * 1024 * 1024)
            log = real.with_name(f"{real.name}.wal")
            if log.exists():
                shutil.copyfile(log, to / log.name)
        except OSError as error:
            raise ScratchError(f"{real} cannot be copied to {to}: {error.strerror}") from error
        if not keep_lock:
            fcntl.lockf(file, fcntl.LOCK_UN)
        yield copy


# ------------------------------------------------------------------------ profiles.yml


def redirected(
    profiles: Path,
    target: str,
    *,
    path: Path | None,
    schema: str | Callable[[str], str] | None,
) -> str:
    """The text of a profiles.yml with another database file or schema for a target.

    A ``schema`` may be made of the one that is written, or of ``main``. Whatever else it says stays
    as it is written, templates too; databases that a DuckDB profile attaches can only be read where
    it has another ``path``. Raises `ScratchError`.
    """
    said = _profiles(profiles)
    outputs = list(_outputs(said, target))
    if not outputs:
        raise ScratchError(f"{profiles} has no output {target!r} to redirect")
    for output in outputs:
        if path is not None:
            output["path"] = str(path)
            if output.get("attach"):
                output["attach"] = [_read_only(one) for one in output["attach"]]
        if schema is not None:
            key = "dataset" if "dataset" in output else "schema"
            made = schema if isinstance(schema, str) else schema(str(output.get(key) or "main"))
            output[key] = made
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def outputs_of(profiles: Path, target: str) -> list[dict[str, Any]]:
    """What a profiles.yml says of a target, in every profile of it. Raises `ScratchError`."""
    return [*_outputs(_profiles(profiles), target)]


def _profiles(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScratchError(f"{path} cannot be read: {error}") from error


def _outputs(said: Any, target: str) -> Iterator[dict[str, Any]]:
    """The target in every profile of the file: which one counts is dbt's to find out."""
    for profile in said.values() if isinstance(said, dict) else ():
        outputs = profile.get("outputs") if isinstance(profile, dict) else None
        output = outputs.get(target) if isinstance(outputs, dict) else None
        if isinstance(output, dict):
            yield output


def _read_only(attached: Any) -> Any:
    if isinstance(attached, str):
        return {"path": attached, "read_only": True}
    return {**attached, "read_only": True} if isinstance(attached, dict) else attached


# ------------------------------------------------------------------------ manifest.json


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """Where a node or source is in the warehouse."""

    name: str  # as SQL names it
    database: str | None
    schema: str


class _Resource(msgspec.Struct):
    relation_name: str | None = None
    database: str | None = None
    schema: str = ""


class _Manifest(msgspec.Struct):
    nodes: dict[str, _Resource] = {}
    sources: dict[str, _Resource] = {}


def relations(manifest: Path) -> Mapping[str, Relation]:
    """The relations of all nodes and sources that have one, by id. Raises `ScratchError`."""
    try:
        found = msgspec.json.decode(manifest.read_bytes(), type=_Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise ScratchError(f"{manifest} cannot be read: {error}") from error
    return {
        id: Relation(name=one.relation_name, database=one.database, schema=one.schema)
        for id, one in {**found.nodes, **found.sources}.items()
        if one.relation_name
    }
