"""What to do next, as commands to copy."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbtorch.core.model.state import RunState

if TYPE_CHECKING:
    from dbtorch.core.history.summary import Summary

#: Options of the command that just ran which the next one needs as well.
_WHERE = ("--project-dir", "--database-url")
_WHERE_AND_FILES = (*_WHERE, "--artifacts-url")
_WHERE_AND_DBT = ("--project-dir", "--profiles-dir", "--profile", "--target", "-t")


def next_steps(summary: Summary) -> list[tuple[str, str]]:
    """Commands, and what each one is for."""
    where = _kept(summary.command, _WHERE_AND_FILES)
    run = "latest" if summary.latest else summary.run_id
    retry = f"dbtorch retry{where}" if summary.latest else f"dbtorch retry {run}{where}"
    show = (show_run(summary), "every node and attempt of this run")
    if summary.state is RunState.GATED:
        again = (retry, "check the sources again, and run what waits for them")
        if not summary.reload:
            return [again, show]
        named = " ".join(f"step:{name}" for name in summary.reload)
        load = (f"dbtorch rerun {run} --select {named}{where}", "load the sources again")
        return [again, load, show]
    if summary.state is RunState.SUCCESS:
        graph = f"dbtorch graph{_kept(summary.command, _WHERE_AND_DBT)}"
        return [show, (graph, "what comes before what")]
    steps = [(retry, "go on with what did not succeed")]
    if summary.failures:
        node = shlex.quote(summary.failures[0].called)
        steps.append((f"dbtorch logs {run} {node}{where}", "the whole log of a node"))
    return [*steps, show]


def show_run(summary: Summary) -> str:
    """The command that shows all of a run."""
    run = "latest" if summary.latest else summary.run_id
    return f"dbtorch show {run}{_kept(summary.command, _WHERE)}"


def _kept(command: Sequence[str], options: Sequence[str]) -> str:
    """The part of a command line that says where the project is."""
    words: list[str] = []
    for place, word in enumerate(command):
        name, equals, _ = word.partition("=")
        if name not in options:
            continue
        if equals:
            words.append(word)
        elif place + 1 < len(command):
            words += [word, command[place + 1]]
    return "".join(f" {shlex.quote(word)}" for word in words)
