"""What a worker may say. It runs the project's own code, so nothing it says is taken on trust."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from dbtorch.core.model.events import Window

Message = dict[str, Any]

#: Longest message in bytes; the graph of 100,000 nodes comes to 50 MB.
MAX_BYTES = 512 * 1024 * 1024

#: What a store takes for a number.
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Garbled(Exception):
    """It is no message; the text says why, in half a sentence."""


class _Anything(msgspec.Struct):
    type: str


class _Warning(_Anything):
    message: str


class _DbtWarning(_Warning):
    name: str
    node: str


_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class _Thresholds(msgspec.Struct, forbid_unknown_fields=True):
    """dbt's ``freshness`` of a source."""

    warn_after: _Seconds | None
    error_after: _Seconds | None
    filter: str
    checkable: bool


class _Opened(_Anything):
    selected: list[str]
    edges: list[tuple[str, str]]
    selected_sources: list[str]
    resolved: dict[str, list[str]]
    unreadable: dict[str, str]
    threads: Annotated[int, msgspec.Meta(ge=1)]
    fail_fast: bool
    target: dict[str, Any]
    exclusive_file: str | None
    vars: dict[str, Any]
    dbt_version: str
    adapter: str
    project: str
    project_dir: str
    target_path: str
    manifest_path: str
    manifest_hash: str
    checksums: dict[str, str]
    watched: list[str]
    env_vars: list[str]
    freshness: dict[str, _Thresholds] = {}


class _Link(msgspec.Struct):
    """An exception, as evidence."""

    classes: list[str] | None = None
    message: str | None = None
    sqlstate: str | None = None
    codes: list[str] | None = None
    http_status: int | None = None
    retry_after: str | float | None = None


class _Failed(_Anything):
    message: str
    errors: list[_Link] | None = None


class _Begun(_Anything):
    blocked: bool


class _Batches(msgspec.Struct):
    successful: list[Any] | None = None
    failed: list[Any] | None = None


class _Threshold(msgspec.Struct):
    count: int | None = None
    period: str | None = None


class _Criteria(msgspec.Struct):
    """The limits of a source."""

    warn_after: _Threshold | None = None
    error_after: _Threshold | None = None
    filter: str | None = None


class _Source(msgspec.Struct):
    """What a check of a source found: its entry in sources.json."""

    unique_id: str
    status: Literal["pass", "warn", "error", "runtime error"]
    error: str | int | None = None
    max_loaded_at: str | None = None
    snapshotted_at: str | None = None
    max_loaded_at_time_ago_in_s: float | None = None
    criteria: _Criteria | None = None


class _Rows(msgspec.Struct, forbid_unknown_fields=True):
    """Rows that were written, and that there are."""

    affected: _Count | None = None
    count: _Count | None = None


class _Found(msgspec.Struct, forbid_unknown_fields=True):
    """What a look at a relation found."""

    nulls: dict[str, _Count]
    newest: dict[str, str | None]
    rows: _Count | None = None
    columns: list[tuple[str, str]] | None = None
    errors: dict[str, str] = {}


class _Result(_Anything):
    """dbt's result of a node or hook."""

    node: str
    status: str | None = None
    message: str | None = None
    errors: list[_Link] | None = None
    execution_time: float | None = None
    timing: list[dict[str, Any]] | None = None
    thread_id: str | None = None
    adapter_response: dict[str, Any] | None = None
    failures: _Number | None = None
    batch_results: _Batches | None = None
    compiled_path: str | None = None
    source: _Source | None = None
    rows: _Rows | None = None
    rows_affected: _Count | None = None
    found: _Found | None = None


class _Started(_Anything):
    node: str
    attempt: _Number


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Window = tuple[_Moment, _Moment]


class _Planned(_Started):
    """Batches that an attempt is about to build."""

    windows: list[_Window]


class _Built(_Started):
    """A batch that an attempt has built."""

    window: _Window


class _Finished(_Result, kw_only=True):
    attempt: _Number


class _Checked(_Anything):
    checks: list[_Finished]


class _Answer(_Anything):
    found: Any = None
    error: str | None = None


#: Type of a message -> what it must hold; more than that may be in it.
_TYPES: Mapping[str, type[_Anything]] = {
    "warning": _Warning,
    "dbt_warning": _DbtWarning,
    "opened": _Opened,
    "failed": _Failed,
    "begun": _Begun,
    "begin_failed": _Failed,
    "started": _Started,
    "planned": _Planned,
    "built": _Built,
    "finished": _Finished,
    "hook": _Result,
    "answer": _Answer,
    "checked": _Checked,
    "released": _Anything,
    "closed": _Anything,
}


def read(line: bytes) -> Message:
    """One message. Raises `Garbled`."""
    if len(line) >= MAX_BYTES:
        raise Garbled(f"more than {MAX_BYTES:,} bytes")
    try:
        found = json.loads(line, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Garbled(f"no JSON: {error}") from None
    kind = found.get("type") if isinstance(found, dict) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise Garbled(f"unknown type {kind!r}" if kind is not None else "it has no type")
    try:
        msgspec.convert(found, _TYPES[kind])
    except (msgspec.ValidationError, RecursionError) as error:
        raise Garbled(f"{kind}: {error}") from None
    message: Message = found
    return message


def window_of(told: Any) -> Window:
    """The event time that a batch is about. Raises `Garbled` at the ends of time."""
    try:
        begins_at, ends_at = (at.astimezone(UTC) for at in msgspec.convert(told, _Window))
    except (msgspec.ValidationError, OverflowError, ValueError) as error:
        raise Garbled(f"no window {told!r:.100}: {error}") from None
    return begins_at, ends_at


def _finite(text: str) -> float | None:
    """A number that can be written again; nothing for one beyond all numbers, as for NaN."""
    found = float(text)
    return found if math.isfinite(found) else None
