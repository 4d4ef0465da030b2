"""What one dbt process says of its nodes, line by line of its JSON log, of dbt 1 or dbt 2.

Both print the same events (``NodeStart`` Q024, ``NodeFinished`` Q025, …), with differences:

- dbt 1 prints these two at level debug only.
- dbt 1 says ``NodeStart`` and ``NodeFinished`` of each batch of a microbatch model, too, with the
  model's id. A ``LogBatchResult`` with the same start comes before the latter.
- dbt 2 says why a node failed in a line of its own, before ``NodeFinished``.
- dbt 1 cannot put an event into its own format whose node has a ``meta`` with keys that are no text
  (``on:`` is YAML's word for true). It prints a ``Note`` with all that the event says, as Python
  writes it, and then the event with nothing in it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from dbtorch.adapters.dbt.process.values import is_test, moment, plain, rows_affected, status

#: Longest line that is read, in bytes; of a longer one no more than its beginning is kept.
MAX_BYTES = 16 * 1024 * 1024
_BEGINNING = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """dbt has begun with a node; dbt 2 may still wait for a connection."""

    unique_id: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """dbt is done with a node, a hook or (in ``source freshness``) a source."""

    unique_id: str
    status: str  # as in dbt 1: success, error, fail, warn, pass, skipped, no-op, partial success, …
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str = ""  # dbt 2 has one for errors alone
    failures: int | None = None  # of tests
    rows: int | None = None
    code: str = ""  # dbt 2's number of an error, such as dbt1404 for what was cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Something for a log."""

    unique_id: str | None  # the node it is about
    level: str  # debug, info, warn or error
    text: str


Line = Began | Done | Said


class _Info(msgspec.Struct):
    name: str
    level: str = "info"
    msg: str = ""
    ts: str = ""


class _Envelope(msgspec.Struct):
    info: _Info
    data: msgspec.Raw


class _Node(msgspec.Struct):
    unique_id: str = ""
    node_status: str | None = None
    node_started_at: str | None = None
    node_finished_at: str | None = None


class _Ran(msgspec.Struct):
    status: str
    message: str | None = None
    num_failures: int | None = None
    adapter_response: dict[str, Any] = {}


class _About(msgspec.Struct):
    node_info: _Node = msgspec.field(default_factory=_Node)


class _Finished(_About, kw_only=True):
    run_result: _Ran


class _Result(_About, kw_only=True):
    status: str = ""
    execution_time: float = 0.0


_BEGINNINGS = {"NodeStart", "LogStartLine", "LogHookStartLine"}
#: Of no interest: blank lines, steps on the way, and what is said again elsewhere.
_SILENT = {
    "Formatting",
    "MainReportArgs",
    "MarkSkippedChildren",
    "NodeCompiling",
    "NodeExecuting",
    "WritingInjectedSQLForNode",
}
#: What dbt 2 puts in front of a text: "[error] [DbDriverFailed (dbt1308)]: ".
_CODED = re.compile(r"\[error\] \[\w+ \((dbt\d+)\)\]: ")

#: What dbt 1 notes of an event that it cannot put into its format, and the part that is to blame.
_UNPARSED = re.compile(
    r"\[(\w+)\]: Unable to parse logging event dictionary\. .*?Dictionary: (\{.*\})\s*\Z", re.DOTALL
)
_META = re.compile(r"'meta': \{.*?\}, 'node_relation': ", re.DOTALL)

_envelope = msgspec.json.Decoder(_Envelope)
_about = msgspec.json.Decoder(_About)
_finished = msgspec.json.Decoder(_Finished)
_result = msgspec.json.Decoder(_Result)


class Lines:
    """Reads the lines of one dbt process, in their order; never raises."""

    def __init__(self) -> None:
        self._begun: set[str] = set()
        self._batches: set[tuple[str, str | None]] = set()
        self._errors: dict[str, tuple[str, str]] = {}
        self._unparsed: set[str] = set()  # names of events that come with nothing in them

    def read(self, line: bytes) -> Line | None:
        """What a line says; None for what nobody needs to know."""
        if len(line) > MAX_BYTES:
            beginning = line[:_BEGINNING].decode(errors="replace")
            return Said(
                unique_id=None, level="warn", text=f"{beginning}… (a line of {len(line)} bytes)"
            )
        try:
            found = _envelope.decode(line)
            return self._read(found.info, found.data)
        except (ValueError, OverflowError, msgspec.MsgspecError, RecursionError):
            text = plain(line.decode(errors="replace"))
            return Said(unique_id=None, level="warn", text=text) if text else None

    def _read(self, info: _Info, data: msgspec.Raw) -> Line | None:
        name = info.name
        if name == "Note" and (unparsed := _UNPARSED.match(info.msg)):
            return self._told_in_python(info, unparsed[1], unparsed[2])
        if name in _SILENT or (name in self._unparsed and _is_about_nothing(data)):
            return None
        if name in _BEGINNINGS:
            return self._began(info, _about.decode(data).node_info)
        if name == "LogBatchResult":
            batch = _about.decode(data).node_info
            self._batches.add((batch.unique_id, batch.node_started_at))
        elif name == "LogHookEndLine":
            return self._told(info, _result.decode(data))
        elif name == "NodeFinished":
            return self._done(_finished.decode(data))
        return self._said(info, data)

    def _told_in_python(self, info: _Info, name: str, text: str) -> Line | None:
        """An event as Python writes its data."""
        self._unparsed.add(name)
        try:
            found = ast.literal_eval(_META.sub("'node_relation': ", text, count=1))
            data = msgspec.Raw(msgspec.json.encode(found))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None  # it is none of those whose data are texts and numbers
        said = found.get("sql") or found.get("msg") or found.get("base_msg") or ""
        about = _Info(name=name, level="debug", msg=str(said), ts=info.ts)
        return self._read(about, data)

    def _began(self, info: _Info, node: _Node) -> Began | None:
        if node.unique_id in self._begun:
            return None
        self._begun.add(_named(node))
        return Began(unique_id=node.unique_id, at=moment(node.node_started_at) or moment(info.ts))

    def _done(self, found: _Finished) -> Done | None:
        node, ran = found.node_info, found.run_result
        if (node.unique_id, node.node_started_at) in self._batches:
            return None
        code, text = self._errors.pop(_named(node), ("", ""))
        return Done(
            unique_id=node.unique_id,
            status=status(ran.status),
            started_at=moment(node.node_started_at),
            ended_at=moment(node.node_finished_at),
            message=plain(ran.message or "") or text,
            failures=_failures(node.unique_id, ran.num_failures),
            rows=rows_affected(ran.adapter_response),
            code=code,
        )

    def _told(self, info: _Info, found: _Result) -> Done:
        """A hook's end, which may have no times, and no status but the printed one."""
        node = found.node_info
        end = moment(node.node_finished_at) or moment(info.ts)
        start = moment(node.node_started_at)
        if start is None and end is not None and 0 <= found.execution_time < 10**9:
            start = end - timedelta(seconds=found.execution_time)
        told = node.node_status if node.node_status not in {None, "", "None"} else found.status
        return Done(
            unique_id=_named(node),
            status=status(told or found.status),
            started_at=start,
            ended_at=end,
        )

    def _said(self, info: _Info, data: msgspec.Raw) -> Said | None:
        id = _about.decode(data).node_info.unique_id or None
        text = plain(info.msg)
        coded = _CODED.match(text)
        if id is not None and coded is not None:
            self._errors[id] = coded[1], text[coded.end() :]
        return Said(unique_id=id, level=info.level, text=text) if text else None


def _is_about_nothing(data: msgspec.Raw) -> bool:
    return not _about.decode(data).node_info.unique_id


def _named(node: _Node) -> str:
    """The id of a node; what is about none is no event that dbt prints."""
    if not node.unique_id:
        raise ValueError("it names no node")
    return node.unique_id


def _failures(unique_id: str, said: int | None) -> int | None:
    return said if is_test(unique_id) and said is not None and said >= 0 else None
