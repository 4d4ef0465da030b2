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
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from dbtorch.adapters.dbt.dbtorch_worker.events import TOLD_OTHERWISE
from dbtorch.adapters.dbt.process.dbt_cli.values import (
    is_test,
    moment,
    plain,
    rows_affected,
    status,
)
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import Window

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
    unrendered: bool = False  # it failed while dbt was rendering it, before it was executed


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMessage:
    """Something for a log."""

    unique_id: str | None  # the node it is about
    level: str  # debug, info, warn or error
    text: str
    name: str = field(default="", compare=False)  # dbt's event; empty where a line was none

    def warning(self) -> DbtWarning | None:
        """What dbt warns of, if that is no result of a node."""
        if self.level != "warn" or not self.name or self.name in TOLD_OTHERWISE:
            return None
        return DbtWarning.of(self.name, self.text, self.unique_id or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """dbt is about to build these batches of a microbatch model; dbt 2 says from when to when."""

    unique_id: str
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A batch of a microbatch model is in the warehouse; dbt 2 does not say so."""

    unique_id: str
    window: Window


Line = Began | Done | LogMessage | Planned | Built


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


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Window = tuple[_Moment, _Moment]


class _Planned(_About, kw_only=True):
    windows: list[_Window]


class _Built(_About, kw_only=True):
    window: _Window


_BEGINNINGS = {"NodeStart", "LogStartLine", "LogHookStartLine"}
_RENDERING, _EXECUTING = _PHASES = ("NodeCompiling", "NodeExecuting")

#: Of no interest: blank lines, steps on the way, and what is said again elsewhere.
_SILENT = {
    "Formatting",
    "MainReportArgs",
    "MarkSkippedChildren",
    *_PHASES,
    "WritingInjectedSQLForNode",
}
#: How a line begins that a macro of ours has written.
MARK = "dbtorch: "

#: What dbt 2 puts in front of a text: "[error] [DbDriverFailed (dbt1308)]: ".
_CODED = re.compile(r"\[error\] \[\w+ \((dbt\d+)\)\]: ")

#: What dbt 2 says of the batches that it is about to build, of all of them at once.
_PLANNED = re.compile(
    r"Executing microbatch model \S+ with \d+ batches"
    r" \(start=(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC, end=(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\)"
)

#: What dbt 1 notes of an event that it cannot put into its format, and the part that is to blame.
_UNPARSED = re.compile(
    r"\[(\w+)\]: Unable to parse logging event dictionary\. .*?Dictionary: (\{.*)", re.DOTALL
)
_META, _AFTER_META = "'meta': {", "}, 'node_relation': "

_envelope = msgspec.json.Decoder(_Envelope)
_about = msgspec.json.Decoder(_About)
_finished = msgspec.json.Decoder(_Finished)
_result = msgspec.json.Decoder(_Result)
_planned = msgspec.json.Decoder(_Planned)
_built = msgspec.json.Decoder(_Built)


class Lines:
    """Reads the lines of one dbt process, in their order; never raises."""

    def __init__(self, hide: Scrubber | None = None) -> None:
        """``hide`` takes secrets out of all that is no answer of a macro of ours."""
        self._hide = hide or Scrubber()
        self._begun: set[str] = set()
        self._batches: set[tuple[str, str | None]] = set()
        self._errors: dict[str, tuple[str, str]] = {}
        self._rendering: set[str] = set()  # nodes that are not executed yet, by events of dbt
        self._unrendered: set[str] = set()
        self._executed: set[str] = set()
        self._unparsed: set[str] = set()  # names of events that come with nothing in them

    def read(self, line: bytes) -> Line | None:
        """What a line says; None for what nobody needs to know."""
        if len(line) > MAX_BYTES:
            beginning = self._hide.values(line[:_BEGINNING].decode(errors="replace"))
            return LogMessage(
                unique_id=None, level="warn", text=f"{beginning}… (a line of {len(line)} bytes)"
            )
        try:
            found = _envelope.decode(line)
            return self._read(found.info, found.data)
        except (ValueError, OverflowError, msgspec.MsgspecError, RecursionError):
            text = plain(self._hide.values(line.decode(errors="replace")))
            return LogMessage(unique_id=None, level="warn", text=text) if text else None

    def _read(self, info: _Info, data: msgspec.Raw) -> Line | None:
        name = info.name
        if name == "Note" and (unparsed := _UNPARSED.match(info.msg)):
            return self._told_in_python(info, unparsed[1], unparsed[2])
        if name in _PHASES:
            self._enter(name, _about.decode(data).node_info.unique_id)
        if name in _SILENT or (name in self._unparsed and _is_about_nothing(data)):
            return None
        if name in _BEGINNINGS:
            return self._began(info, _about.decode(data).node_info)
        if name == "LogBatchResult":
            batch = _about.decode(data).node_info
            self._batches.add((batch.unique_id, batch.node_started_at))
        elif name == "MicrobatchesPlanned":
            plan = _planned.decode(data)
            return Planned(unique_id=_named(plan.node_info), windows=tuple(map(_utc, plan.windows)))
        elif name == "MicrobatchBuilt":
            built = _built.decode(data)
            return Built(unique_id=_named(built.node_info), window=_utc(built.window))
        elif name == "Generic" and (told := _PLANNED.match(info.msg)):
            begin, end = (datetime.fromisoformat(f"{at}+00:00") for at in told.groups())
            window = (begin.astimezone(UTC), end.astimezone(UTC))
            return Planned(unique_id=_named(_about.decode(data).node_info), windows=(window,))
        elif name == "LogHookEndLine":
            return self._told(info, _result.decode(data))
        elif name == "NodeFinished":
            return self._done(_finished.decode(data))
        return self._said(info, data)

    def _enter(self, phase: str, id: str) -> None:
        """A node is rendered, or executed; within dbt 1 once for each of its batches."""
        if phase == _EXECUTING:
            self._rendering.discard(id)
            self._executed.add(id)
        elif id not in self._executed:
            self._rendering.add(id)

    def _told_in_python(self, info: _Info, name: str, text: str) -> Line | None:
        """An event as Python writes its data."""
        self._unparsed.add(name)
        try:
            found = ast.literal_eval(_without_meta(text.rstrip()))
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
            message=plain(self._hide.values(ran.message or "")) or text,
            failures=_failures(node.unique_id, ran.num_failures),
            rows=rows_affected(ran.adapter_response),
            code=code,
            unrendered=node.unique_id in self._unrendered,
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

    def _said(self, info: _Info, data: msgspec.Raw) -> LogMessage | None:
        id = _about.decode(data).node_info.unique_id or None
        text = plain(info.msg if info.msg.startswith(MARK) else self._hide.values(info.msg))
        coded = _CODED.match(text)
        if info.level == "error" and id in self._rendering:
            self._unrendered.add(id)
        if id is not None and coded is not None:
            self._errors[id] = coded[1], text[coded.end() :]
        return (
            LogMessage(unique_id=id, level=info.level, text=text, name=info.name) if text else None
        )


def _utc(window: _Window) -> Window:
    begins_at, ends_at = (at.astimezone(UTC) for at in window)
    return begins_at, ends_at


def _without_meta(text: str) -> str:
    """The data of an event without what the user's meta holds, which may be anything."""
    before, begins, rest = text.partition(_META)
    _, ends, after = rest.partition(_AFTER_META)
    return f"{before}{_AFTER_META[3:]}{after}" if begins and ends else text


def _is_about_nothing(data: msgspec.Raw) -> bool:
    return not _about.decode(data).node_info.unique_id


def _named(node: _Node) -> str:
    """The id of a node; what is about none is no event that dbt prints."""
    if not node.unique_id:
        raise ValueError("it names no node")
    return node.unique_id


def _failures(unique_id: str, said: int | None) -> int | None:
    return said if is_test(unique_id) and said is not None and said >= 0 else None
