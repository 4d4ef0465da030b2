"""A run that tells its changes in the thread of who follows it, as other orchestrators want it."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack, cast

from dbtorch.service.project.arguments import PlanArguments

if TYPE_CHECKING:
    from dbtorch.service.api import NodeChange, OnChange, Project
    from dbtorch.service.planning.plan import PlannedNode
    from dbtorch.service.project.arguments import RunArguments
    from dbtorch.service.run.handle import RunHandle
    from dbtorch.service.run.result import Run

#: Seconds after which it is looked whether a run has ended that says nothing.
_LOOK_EVERY = 0.5


class FollowedRun:
    """A run under way, entered while it is followed; who leaves early cancels it.

    Iterating gives the changes of its nodes until it has ended; then ``result`` has the run.
    """

    def __init__(self, project: Project, **given: Unpack[RunArguments]) -> None:
        self._begin: Callable[[OnChange], RunHandle] = lambda tell: project.start(
            on_change=tell, **given
        )
        self._changes: queue.SimpleQueue[NodeChange] = queue.SimpleQueue()
        self._handle: RunHandle | None = None

    @classmethod
    def begun(cls, project: Project, begin: Callable[[OnChange], RunHandle]) -> Self:
        """The same of a run that goes on: ``begin`` calls `Project.start_retry`, say."""
        made = cls(project)
        made._begin = begin
        return made

    def cancel(self, reason: str) -> None:
        """End the run properly, and return at once; nothing before it is entered."""
        if self._handle is not None:
            self._handle.cancel(reason)

    def __enter__(self) -> Self:
        self._handle = self._begin(self._changes.put)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._started.done:
            return
        self._started.cancel("who followed it has gone" if error is None else type(error).__name__)
        try:
            self._started.wait()
        except Exception:  # what it could not begin with is told by `result`
            return
        except BaseException:  # a second interrupt
            self._started.kill()
            raise

    def __iter__(self) -> Iterator[NodeChange]:
        while not self._started.done:
            try:
                yield self._changes.get(timeout=_LOOK_EVERY)
            except queue.Empty:
                continue
        while not self._changes.empty():
            yield self._changes.get()

    @property
    def result(self) -> Run:
        """The run when it has ended. Raises what `Project.run` raises."""
        return self._started.wait()

    @property
    def _started(self) -> RunHandle:
        assert self._handle is not None, "enter it first"
        return self._handle


def planned(project: Project, given: RunArguments) -> dict[str, PlannedNode]:
    """The nodes of a run with these arguments, by id, in the order in which they would start.

    From what dbt answered last time, where nothing has changed since. Raises what `Project.plan`
    raises.
    """
    return {node.id: node for node in project.plan(cached=True, **of_plan(given))}


def of_plan(given: RunArguments) -> PlanArguments:
    """Those arguments of a run that say what it does."""
    known = PlanArguments.__annotations__
    return cast("PlanArguments", {name: value for name, value in given.items() if name in known})
