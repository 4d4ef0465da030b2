"""What to do next, as commands to copy."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbtorch.core.graph import Kind
from dbtorch.core.state import RunState

if TYPE_CHECKING:
    from dbtorch.core.summary import Failure, Summary

#: Options of the command that just ran which the next one needs as well.
_WHERE = ("--project-dir",)
_WHERE_AND_DBT = (*_WHERE, "--profiles-dir", "--profile", "--target", "-t")


def next_steps(summary: Summary) -> list[tuple[str, str]]:
    """Commands, and what each one is for."""
    where = _kept(summary.command, _WHERE)
    show = (f"dbtorch show latest{where}", "every node and attempt of this run")
    if summary.gated and summary.state is RunState.SUCCESS:
        again = (f"dbtorch retry{where}", "check the sources again, and run what waits for them")
        return [again, show]
    if summary.state is RunState.SUCCESS:
        graph = f"dbtorch graph{_kept(summary.command, _WHERE_AND_DBT)}"
        return [show, (graph, "what comes before what")]
    steps = [(f"dbtorch retry{where}", "run again what did not succeed, and what depends on it")]
    if summary.failures:
        node = shlex.quote(_shortest(summary.failures[0], summary))
        steps.append((f"dbtorch logs latest {node}{where}", "the whole log of a node"))
    return [*steps, show]


def _shortest(failure: Failure, summary: Summary) -> str:
    """The name where it says which node is meant, the id where it does not."""
    same = [other for other in summary.failures if other.name == failure.name]
    clear = len(same) == 1 and " " not in failure.name and failure.kind is not Kind.CHECK
    return failure.name if clear else failure.id


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
