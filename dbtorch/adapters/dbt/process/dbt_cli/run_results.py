"""run_results.json, of dbt 1 or dbt 2, as far as events are compared with it.

It is no better a witness than they are: interrupted, stopped by ``--fail-fast``, or with a hook
that failed, dbt 2 writes ``error`` for every node that was selected, also for those it has built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from dbtorch.adapters.dbt.process.dbt_cli.values import (
    is_test,
    moment,
    plain,
    rows_affected,
    status,
)
from dbtorch.core.errors import EngineError

#: Status, message, thread and seconds of what dbt 2 writes of nodes that it knows nothing of.
_INVENTED = ("error", "Compilation Error", "main", 0.0)


class _Timing(msgspec.Struct):
    started_at: str | None = None
    completed_at: str | None = None


class _Entry(msgspec.Struct):
    unique_id: str
    status: str
    message: str | None = None
    failures: int | None = None
    execution_time: float = 0.0
    timing: list[_Timing] = []
    adapter_response: dict[str, Any] = {}
    thread_id: str | None = None


class _Metadata(msgspec.Struct):
    dbt_schema_version: str
    dbt_version: str = ""
    invocation_id: str | None = None


class _File(msgspec.Struct):
    metadata: msgspec.Raw
    results: list[msgspec.Raw]
    args: dict[str, Any] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What dbt wrote of one node."""

    unique_id: str
    status: str  # as in dbt 1
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float
    message: str
    failures: int | None  # of tests
    rows: int | None
    invented: (
        bool  # by dbt 2, of all nodes alike, for its build broke off: says nothing of this one
    )
    written: Mapping[str, Any]  # all of it, as it is in the file


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What dbt wrote of one invocation."""

    dbt_version: str
    invocation_id: str
    metadata: Mapping[str, Any]  # of the whole, as it is in the file
    args: Mapping[str, Any]  # how dbt was called
    nodes: Mapping[str, Result]  # by unique_id, in dbt's order; of dbt 1 hooks as well


def read_results(path: Path) -> Results:
    """Read a run_results.json; unknown keys are ignored.

    Raises `EngineError` for a file that is not there, breaks off or is something else.
    """
    try:
        return decode_results(path.read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        what = getattr(error, "strerror", None) or error
        raise EngineError(f"dbt's results {path} cannot be read ({what})") from error


def decode_results(content: bytes) -> Results:
    """Decode the content of a run_results.json; raises a `ValueError` for what is none."""
    file = msgspec.json.decode(content, type=_File)
    metadata = msgspec.json.decode(file.metadata, type=_Metadata)
    schema = metadata.dbt_schema_version
    if "/run-results/" not in schema:
        raise ValueError(f"its schema is {schema!r}, that of results has run-results in it")
    nodes: dict[str, Result] = {}
    for result in map(_result, file.results):
        if result.unique_id in nodes:
            raise ValueError(f"it has {result.unique_id} twice")
        nodes[result.unique_id] = result
    return Results(
        dbt_version=metadata.dbt_version,
        invocation_id=metadata.invocation_id or "",
        nodes=nodes,
        metadata=msgspec.json.decode(file.metadata),
        args=file.args,
    )


def _result(raw: msgspec.Raw) -> Result:
    entry = msgspec.json.decode(raw, type=_Entry)
    starts = list(_moments(timing.started_at for timing in entry.timing))
    ends = list(_moments(timing.completed_at for timing in entry.timing))
    return Result(
        unique_id=entry.unique_id,
        status=status(entry.status),
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None),
        seconds=entry.execution_time,
        message=plain(entry.message or ""),
        failures=entry.failures if is_test(entry.unique_id) else None,
        rows=rows_affected(entry.adapter_response),
        invented=(entry.status, entry.message, entry.thread_id, entry.execution_time) == _INVENTED,
        written=msgspec.json.decode(raw),
    )


def _moments(said: Iterator[str | None]) -> Iterator[datetime]:
    return (at for at in map(moment, said) if at is not None)
