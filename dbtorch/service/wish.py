"""What somebody at a page wants done: each wish is a command of the command line, and as it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from dbtorch.adapters.actor import actor
from dbtorch.core.config import Config
from dbtorch.core.errors import UsageError
from dbtorch.core.model.state import State
from dbtorch.core.schedule.cause import Cause, CauseKind
from dbtorch.ports.store import Store
from dbtorch.service.history.lookup import find_node, is_driven, read_run
from dbtorch.service.project.known_secrets import scrubber_of_environment
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import open_project


class Deed(StrEnum):
    """The commands."""

    RETRY = "retry"  # go on with a run
    RERUN = "rerun"  # run a part of it again
    CANCEL = "cancel"  # end a run, or nodes of it
    MARK = "mark"  # give a node another final state
    TRIGGER = "trigger"  # have `serve` run a pipeline
    PAUSE = "pause"  # let a pipeline start no run by itself
    RESUME = "resume"  # let it again
    BACKFILL = "backfill"  # run partitions of it


_OF_RUNS = (Deed.RETRY, Deed.RERUN, Deed.CANCEL, Deed.MARK)

#: Those that are processes of their own, as runs come of them.
_APART = (Deed.RETRY, Deed.RERUN, Deed.BACKFILL)

#: Characters of one text.
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One of them."""

    action: Deed
    run: str = ""  # its id, or the beginning of one
    nodes: tuple[str, ...] = ()  # by name or id; of a rerun, selections
    state: str = ""  # that a mark gives
    pipeline: str = ""
    first: str = ""  # partition of a backfill, or a day in it
    last: str = ""  # the same, included
    reason: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The command, without the name of the program."""
        about = [f"--reason={self.reason}"] if self.reason else []
        match self.action:
            case Deed.RETRY:
                said = [self.run, *(f"--from={node}" for node in self.nodes)]
            case Deed.RERUN:
                said = [self.run, *(f"--select={text}" for text in self.nodes)]
            case Deed.CANCEL:
                said = [self.run, *self.nodes]
            case Deed.MARK:
                said = [self.run, *self.nodes, self.state]
            case Deed.BACKFILL:
                span = {"--from": self.first, "--to": self.last}
                said = [self.pipeline, *(f"{name}={key}" for name, key in span.items() if key)]
            case Deed.TRIGGER | Deed.RESUME:
                said, about = [self.pipeline], []
            case Deed.PAUSE:
                said = [self.pipeline]
        return (self.action.value, *said, *about)

    @property
    def command(self) -> str:
        """The same as people type it."""
        return shlex.join(("dbtorch", *self.words))


#: Starts a command in a process of its own, and answers when what is meant has begun: the second
#: argument says whether it has.
Start = Callable[[Sequence[str], Callable[[], bool]], str]


def wish_of(said: Any) -> Wish:
    """A wish from JSON. Raises `UsageError` for what is none."""
    if not isinstance(said, Mapping):
        raise UsageError("an action is a JSON object")
    known = ("action", "run", "nodes", "state", "pipeline", "first", "last", "reason")
    if others := sorted(str(name) for name in said if name not in known):
        raise UsageError(f"an action has no {others[0][:100]!r}; it has {', '.join(known)}")
    try:
        action = Deed(str(said.get("action")))
    except ValueError:
        raise UsageError(f"action is none of {', '.join(Deed)}") from None
    nodes = said.get("nodes", [])
    if not isinstance(nodes, list):
        raise UsageError("nodes is no list")
    texts = {name: _text(name, said[name]) for name in known[3:] if name in said}
    run = _text("run", said.get("run", ""))
    names = tuple(_text("nodes", node) for node in nodes)
    return Wish(action=action, run=run, nodes=tuple(filter(None, names)), **texts)


def settled(wish: Wish, store: Store, config: Config) -> Wish:
    """The wish about what there is: with ids in the place of names.

    Raises `NotFound`, `UsageError` for one that no command could be.
    """
    wish = replace(wish, reason=scrubber_of_environment()(wish.reason))
    if wish.action not in _OF_RUNS:
        return replace(wish, pipeline=pipeline_of(config, RunOptions(pipeline=wish.pipeline)).name)
    run = read_run(store, wish.run, transitions=False)
    if wish.action is Deed.MARK and wish.state not in (State.SUCCESS, State.FAILED):
        raise UsageError("a node is marked success or failed")
    if wish.action in (Deed.MARK, Deed.RERUN) and not wish.nodes:
        raise UsageError(f"{wish.action} is of nodes; name one")
    if wish.action is Deed.MARK and len(wish.nodes) > 1:
        raise UsageError("one node is marked at a time")
    nodes = wish.nodes
    if wish.action is not Deed.RERUN:
        nodes = tuple(find_node(run, text).id for text in nodes)
    return replace(wish, run=run.run_id, nodes=nodes)


def perform(wish: Wish, store: Store, options: RunOptions, start: Start) -> tuple[str, ...]:
    """Do what its command does; answers what came of it in sentences.

    What runs has begun then, in a process of its own, and outlives whoever asked. Raises what the
    command raises, and `UsageError` without a reason where it keeps one.
    """
    config = open_project(options.project_dir, options.environ).config
    wish = settled(wish, store, config)
    if not wish.reason.strip() and wish.action is not Deed.RESUME:
        raise UsageError("say why: the reason is kept in the history")
    if wish.action in _APART:
        return (start(wish.words, _has_begun(wish, store)),)
    return _done(wish, store, config)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise UsageError(f"{name} is no text of one line, {_LONGEST} characters at most")
    return value


def _has_begun(wish: Wish, store: Store) -> Callable[[], bool]:
    """Whether what a process was started for goes on, or has: asked again and again."""
    if wish.action is Deed.BACKFILL:
        before = {one.id for one in store.backfills(over=True)}
        return lambda: any(one.id not in before for one in store.backfills(over=True))
    known = store.run_changes(wish.run, after=1 << 40)
    resumed_at = known.resumed_at if known is not None else None

    def begun() -> bool:
        now = store.run_changes(wish.run, after=1 << 40)
        return now is not None and now.resumed_at != resumed_at and is_driven(store, wish.run)

    return begun


# -------------------------------------------------------------------- what is done at once


def _done(wish: Wish, store: Store, config: Config) -> tuple[str, ...]:
    if wish.action is Deed.CANCEL:
        from dbtorch.service.run.cancel import cancel

        return cancel(store, wish.run, wish.nodes, reason=wish.reason, wait=False).sentences
    if wish.action is Deed.MARK:
        from dbtorch.service.run.mark import mark

        return mark(store, wish.run, wish.nodes[0], State(wish.state), reason=wish.reason)
    if wish.action is Deed.TRIGGER:
        return _triggered(wish, store, config)
    from dbtorch.service.schedule.pauses import pause, resume

    if wish.action is Deed.PAUSE:
        pause(store, config, wish.pipeline, reason=wish.reason)
        return (f"pipeline {wish.pipeline} is paused",)
    resume(store, config, wish.pipeline)
    return (f"pipeline {wish.pipeline} runs again from its next time on",)


def _triggered(wish: Wish, store: Store, config: Config) -> tuple[str, ...]:
    from dbtorch.service.schedule.trigger import trigger

    cause = Cause(kind=CauseKind.TRIGGER, text=f"a page: {wish.reason}", by=actor())
    found = trigger(store, config, wish.pipeline, {}, cause=cause)
    if not found.served:
        return (f"pipeline {wish.pipeline} runs as soon as `dbtorch serve` is there",)
    waits = ", but waits while it is paused" if found.pause is not None else ""
    return (f"pipeline {wish.pipeline} runs next{waits}",)
