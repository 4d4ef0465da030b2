"""A summary as text: the end of a run on a terminal and in a log."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.cli.render.advice import next_steps
from dbtorch.cli.render.colour import OF_STATE, PLAIN, Colours
from dbtorch.cli.render.words import and_more, blamed, counted, first_line, many, took
from dbtorch.core.graph import Kind
from dbtorch.core.state import RunState, State

if TYPE_CHECKING:
    from dbtorch.core.summary import Failure, LeftOut, Summary, Timed, Warned

#: Warnings, and groups of skipped nodes, that are listed one by one.
_LISTED = 10

#: Runs shorter than this need no list of slowest nodes.
_SHORT = 5.0

_HEADLINES = {
    RunState.SUCCESS: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "was cancelled",
    RunState.RUNNING: "is running",
}


def summary_text(summary: Summary, colours: Colours = PLAIN) -> str:
    """Everything a person needs to act; short when there is nothing to act on."""
    parts = [
        _failures(summary, colours),
        _warnings(summary.warnings, colours),
        _left_out(summary.left_out),
        _retried(summary),
        _times(summary, colours),
        [_headline(summary, colours), f"  {counted(summary.counts, colours)}"],
        _next(summary, colours),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def failure_lines(failure: Failure, colours: Colours = PLAIN) -> Iterator[str]:
    """One failed node: what happened, how often it was tried, who knows, where to look."""
    # The session has no kind that anybody would know it by.
    what = failure.name if failure.kind == "session" else f"{failure.kind} {failure.name}"
    where = f" ({failure.path})" if failure.path else ""
    yield f"  {colours.state('FAIL', State.FAILED)}  {colours(what, 'bold')}{where}"
    message = failure.message or "it failed without a message; its log may say more"
    yield textwrap.indent(message, "        ")
    if failure.more_lines:
        yield f"        ... {many(failure.more_lines, 'more line')}"
    for name, text in _facts(failure):
        yield f"      {colours(f'{name:<9}', 'dim')}{text}"


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
    if failure.blocked:
        listed = and_more(failure.blocked_names, failure.blocked)
        yield "blocked", f"{many(failure.blocked, 'node')}: {listed}"


def _failures(summary: Summary, colours: Colours) -> list[str]:
    lines: list[str] = []
    for failure in summary.failures:
        lines += ["", *failure_lines(failure, colours)]
    return ["Failed", *lines[1:]] if lines else []


def _warnings(warnings: Sequence[Warned], colours: Colours) -> list[str]:
    lines = []
    for warned in warnings[:_LISTED]:
        mark = colours.state("WARN", State.WARN)
        owner = f"  (owner {warned.owner})" if warned.owner else ""
        message = first_line(warned.message)
        lines.append(f"  {mark}  {warned.kind} {warned.name}{owner}  {message}".rstrip())
    rest = len(warnings) - len(lines)
    more = [f"  and {rest} more: dbtorch show latest"] if rest > 0 else []
    return ["Warnings", *lines, *more] if lines else []


def _left_out(groups: Sequence[LeftOut]) -> list[str]:
    lines = [f"  {_group(group)}" for group in groups[:_LISTED]]
    rest = sum(group.count for group in groups[_LISTED:])
    more = [f"  {many(rest, 'more node')} for other reasons: dbtorch show latest"] if rest else []
    return ["Not run", *lines, *more] if lines else []


def _group(group: LeftOut) -> str:
    what = "cancelled" if group.state is State.CANCELLED else "skipped"
    listed = and_more(group.names, group.count) if group.count <= 3 else ""
    names = f" ({listed})" if listed else ""
    reason = first_line(blamed(group.reason)) or "no reason was given"
    return f"{many(group.count, 'node')} {what}: {reason}{names}"


def _retried(summary: Summary) -> list[str]:
    if not summary.retried:
        return []
    names = tuple(f"{node.name} (attempt {node.attempts})" for node in summary.retried[:5])
    return [f"Succeeded after a retry: {and_more(names, len(summary.retried))}"]


def _times(summary: Summary, colours: Colours) -> list[str]:
    """Where the time went; in two lines when nothing else has to be done."""
    if (summary.seconds or 0.0) < _SHORT or len(summary.slowest) < 2:
        return []
    critical = _critical(summary)
    if summary.state is RunState.SUCCESS:
        slowest = ", ".join(f"{node.name} ({took(node.seconds)})" for node in summary.slowest)
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
            name = f"check {node.name}" if node.kind is Kind.CHECK else node.name
            words.append(f"{name} ({took(node.seconds)})")
        elif words[-1] != "...":
            words.append("...")
    return " > ".join(words)


def _label(node: Timed) -> str:
    return f"{node.kind} {node.name}"


def _headline(summary: Summary, colours: Colours) -> str:
    gated = summary.gated and summary.state is RunState.SUCCESS
    what = "succeeded but for what waits for its sources" if gated else _HEADLINES[summary.state]
    text = f"Run {summary.run_id} {what}"
    in_time = f" in {took(summary.seconds)}" if summary.seconds is not None else ""
    return colours(f"{text}{in_time}", OF_STATE.get(summary.state.value, "bold"))


def _next(summary: Summary, colours: Colours) -> list[str]:
    steps = next_steps(summary)
    width = max(len(command) for command, _ in steps)
    lines = [f"  {command:<{width}}  {colours(why, 'dim')}" for command, why in steps]
    return ["What to look at next", *lines]
