"""A summary as text: the end of a run on a terminal and in a log."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.cli.text.advice import next_steps, show_run
from dbtorch.cli.text.colour import OF_STATE, PLAIN, Colours
from dbtorch.cli.text.words import counted, said
from dbtorch.core.failures.message import first_line, one_line
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from dbtorch.core.text.phrases import and_more, blamed, many, took

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Failure, LeftOut, Retried, Summary, Timed

#: Warnings, and groups of skipped nodes, that are listed one by one.
_LISTED = 10

#: Between the lines of a warning.
_AGAIN = "\n        "

#: Columns of a terminal that nobody has made wider.
_TERMINAL = 80

#: Runs shorter than this need no list of slowest nodes.
_SHORT = 5.0

_HEADLINES = {
    RunState.SUCCESS: "succeeded",
    RunState.GATED: "was gated",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.RUNNING: "is running",
}


def summary_text(summary: Summary, colours: Colours = PLAIN) -> str:
    """Everything a person needs to act; short when there is nothing to act on."""
    parts = [
        _failures(summary, colours),
        _warnings(summary, colours),
        _dbt_warnings(summary, colours),
        _left_out(summary),
        _retried(summary),
        _times(summary, colours),
        _left_here(summary, colours),
        [_headline(summary, colours), f"  {counted(summary.counts, colours)}"],
        _next(summary, colours),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def failure_lines(failure: Failure, colours: Colours = PLAIN) -> Iterator[str]:
    """One failed node: what happened, how often it was tried, who knows, where to look."""
    # The session has no kind that anybody would know it by.
    what = failure.name if failure.kind is Kind.SESSION else f"{failure.kind} {failure.name}"
    where = one_line(f" ({failure.path})") if failure.path else ""
    yield f"  {colours.state('FAIL', State.FAILED)}  {colours(what, 'bold')}{where}"
    message = failure.message or "it failed without a message; its log may say more"
    yield textwrap.indent(message, "        ")
    if failure.more_lines:
        yield f"        ... {many(failure.more_lines, 'more line')}"
    for name, text in _facts(failure):
        yield f"      {colours(f'{name:<9}', 'dim')}{one_line(text)}"


def shown_path(path: str) -> str:
    """A path relative to the current folder where that is shorter."""
    if not path:
        return ""
    try:
        relative = os.path.relpath(path, Path.cwd())
    except (ValueError, OSError):  # another drive; a folder that is gone
        return path
    return relative if len(relative) < len(path) else path


def _facts(failure: Failure) -> Iterator[tuple[str, str]]:
    tried = many(failure.attempts, "attempt") if failure.attempts else "never started"
    kind = f", {failure.failure_class} failure" if failure.failure_class else ""
    yield "tried", f"{tried}{kind}"
    owner = failure.owner or (f"group {failure.group}" if failure.group else "")
    if owner:
        yield "owner", owner
    if failure.runbook:
        yield "runbook", failure.runbook
    if failure.log:
        yield "log", shown_path(failure.log)
    if failure.behind:
        listed = and_more(failure.behind_names, failure.behind)
        state = said(State.UPSTREAM_FAILED)
        yield "behind", f"{many(failure.behind, 'node')} {state}: {listed}"


def _failures(summary: Summary, colours: Colours) -> list[str]:
    lines: list[str] = []
    for failure in summary.failures:
        lines += ["", *failure_lines(failure, colours)]
    return ["Failed", *lines[1:]] if lines else []


def _warnings(summary: Summary, colours: Colours) -> list[str]:
    lines, warnings = [], summary.warnings
    for warned in warnings[:_LISTED]:
        mark = colours.state("WARN", State.WARN)
        owner = one_line(f"  (owner {warned.owner})") if warned.owner else ""
        message = first_line(warned.message)
        lines.append(f"  {mark}  {warned.kind} {warned.name}{owner}  {message}".rstrip())
    rest = len(warnings) - len(lines)
    more = [f"  and {rest} more: {show_run(summary)}"] if rest > 0 else []
    return ["Warnings", *lines, *more] if lines else []


def _dbt_warnings(summary: Summary, colours: Colours) -> list[str]:
    """How many there were, by their names: each was told when dbt gave it, and is kept."""
    if not summary.dbt_warnings:
        return []
    counts = Counter[str]()
    for one in summary.dbt_warnings:
        counts[one.name] += one.count
    names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count in counts.items())
    mark = colours.state("WARN", State.WARN)
    total = many(counts.total(), "warning")
    return [f"  {mark}  {total} of dbt: {names}; {show_run(summary)}"]


def _left_out(summary: Summary) -> list[str]:
    groups = [group for group in summary.left_out if not group.behind_failures]
    lines = [f"  {_group(group)}" for group in groups[:_LISTED]]
    rest = sum(group.count for group in groups[_LISTED:])
    more = [f"  {many(rest, 'more node')} for other reasons: {show_run(summary)}"] if rest else []
    return ["Not run", *lines, *more] if lines else []


def _group(group: LeftOut) -> str:
    listed = and_more(group.names, group.count) if group.count <= 3 else ""
    names = f" ({listed})" if listed else ""
    reason = first_line(blamed(group.reason)) or "no reason was given"
    return f"{many(group.count, 'node')} {said(group.state)}: {reason}{names}"


def _retried(summary: Summary) -> list[str]:
    if not summary.retried:
        return []
    names = tuple(f"{_label(node)} (attempt {node.attempts})" for node in summary.retried[:5])
    return [f"Succeeded after a retry: {and_more(names, len(summary.retried))}"]


def _times(summary: Summary, colours: Colours) -> list[str]:
    """Where the time went; in two lines when nothing else has to be done."""
    if (summary.seconds or 0.0) < _SHORT or len(summary.slowest) < 2:
        return []
    critical = _critical(summary)
    if summary.state is RunState.SUCCESS:
        slowest = ", ".join(f"{_label(node)} ({took(node.seconds)})" for node in summary.slowest)
        return [colours(line, "dim") for line in (f"Slowest nodes: {slowest}", *critical)]
    width = max(len(_label(node)) for node in summary.slowest)
    lines = [f"  {_label(node):<{width}}  {took(node.seconds):>7}" for node in summary.slowest]
    return ["Slowest nodes", *lines, *critical]


def _critical(summary: Summary) -> list[str]:
    if summary.critical_share is None or len(summary.critical_path) < 2:
        return []
    share = f"{took(summary.critical_seconds)}, {summary.critical_share:.0%} of the wall time"
    return [f"Critical path: {share}: {path_text(summary.critical_path)}"]


def path_text(path: Sequence[Timed], *, listed: int = 8) -> str:
    """A path with the time of each node; a long one loses its quickest nodes to dots."""
    slow = sorted(range(len(path)), key=lambda place: -path[place].seconds)[:listed]
    kept = {0, len(path) - 1, *slow}
    words: list[str] = []
    for place, node in enumerate(path):
        if place in kept:
            words.append(f"{_label(node)} ({took(node.seconds)})")
        elif words[-1] != "...":
            words.append("...")
    return " > ".join(words)


def _label(node: Timed | Retried) -> str:
    return f"{node.kind} {node.name}"


def _left_here(summary: Summary, colours: Colours) -> list[str]:
    """What is nowhere but on this machine, against somebody's will."""
    uploaded = summary.uploaded
    if uploaded is None or not uploaded.left:
        return []
    mark = colours.state("WARN", State.WARN)
    total = many(uploaded.left + uploaded.files, "file")
    return [f"  {mark}  {uploaded.left} of {total} not uploaded to {one_line(uploaded.url)}"]


def _headline(summary: Summary, colours: Colours) -> str:
    of_part = " of a part of the pipeline" if summary.partial else ""
    text = f"Run {summary.run_id}{of_part} {_HEADLINES[summary.state]}"
    in_time = f" in {took(summary.seconds)}" if summary.seconds is not None else ""
    return colours(f"{text}{in_time}", OF_STATE.get(summary.state.value, "bold"))


def _next(summary: Summary, colours: Colours) -> list[str]:
    steps = [(one_line(command), why) for command, why in next_steps(summary)]
    steps += [(summary.link, "the run in a browser")] * bool(summary.link)
    width = max(len(command) for command, _ in steps)
    if width + max(len(why) for _, why in steps) + 4 <= _TERMINAL:
        lines = [f"  {command:<{width}}  {colours(why, 'dim')}" for command, why in steps]
    else:  # whole commands, to be copied
        lines = [text for command, why in steps for text in _hint(command, colours(why, "dim"))]
    return ["What to look at next", *lines]


def _hint(command: str, why: str) -> Iterator[str]:
    yield f"  {command}"
    yield f"      {why}"
