"""Tasks of Airflow that show nodes, in the triggerer: no worker is started for them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import (
    BaseTrigger,
    TaskFailedEvent,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)
from asgiref.sync import sync_to_async

from dbtorch.adapters.store import open_store
from dbtorch.core.errors import DbtorchError, NoHistory
from dbtorch.integrations.airflow_ends import End, Ended, Next, Standing, decided, run_id_of
from dbtorch.integrations.airflow_tasks import RUN
from dbtorch.service.history.lookup import is_driven
from dbtorch.service.project.project import configured_store, find_project_dir
from dbtorch.service.project.store_scope import reader_of

#: Seconds between two looks at the history, however many tasks wait.
LOOK_EVERY = 3.0

#: Looks in a row that fail before a worker is to try.
_PATIENCE = 5

#: States in which Airflow leaves a task for good, until somebody clears it.
_OVER = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})

_EVENTS = {
    End.SUCCESS: TaskSuccessEvent,
    End.SKIPPED: TaskSkippedEvent,
    End.FAILED: TaskFailedEvent,
}


def is_over(dag_id: str, run_id: str) -> bool:
    """Whether the task that runs the pipeline has ended in a DAG run, with all its tries."""
    found = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=[RUN], run_ids=[run_id])
    return found.get(run_id, {}).get(RUN) in _OVER


def look(
    project_dir: str, store: str | None, run_id: str, *, counted: bool, over: bool
) -> Standing:
    """What the history knows of a run; ``counted``: also how often each node was executed.

    ``over`` was asked before: what is read after that is final. Raises `DbtorchError`.
    """
    folder = find_project_dir(project_dir)
    url = configured_store(store, folder)
    try:
        opened = open_store(url, folder, create=False, identity=reader_of(folder, url, os.environ))
    except NoHistory:
        return Standing(run_id=run_id, over=over)
    with closing(opened) as history:
        driven = is_driven(history, run_id)  # before the rest, which is then its end
        record = history.run(run_id, transitions=counted)
    nodes = {node.id: node for node in record.nodes} if record is not None else {}
    return Standing(run_id=run_id, record=record, nodes=nodes, driven=driven, over=over)


class _Watch:
    """A run that many tasks wait for, looked at once for all of them."""

    def __init__(self, dir: str, store: str | None, dag: tuple[str, str], counted: bool) -> None:
        self._where = (dir, store, run_id_of(*dag))
        self._dag = dag
        self._counted = counted
        self._lock = asyncio.Lock()
        self._seen: Standing | None = None
        self._at = 0.0

    async def standing(self) -> Standing:
        """How it stands, some seconds ago at most.

        Raises `DbtorchError`, `OSError`, and `AirflowRuntimeError` where Airflow does not say.
        """
        async with self._lock:
            if self._seen is None or time.monotonic() - self._at >= LOOK_EVERY:
                over = await sync_to_async(is_over)(*self._dag)
                self._seen = await asyncio.to_thread(
                    look, *self._where, counted=self._counted, over=over
                )
                self._at = time.monotonic()
            return self._seen


_WATCHES: WeakValueDictionary[tuple[object, ...], _Watch] = WeakValueDictionary()


class NodesTrigger(BaseTrigger):  # type: ignore[misc]
    """Waits until the nodes of a task have ended, and ends the task as they did."""

    def __init__(self, dir: str, nodes: Sequence[str], store: str | None = None) -> None:
        super().__init__()
        self.dir = dir
        self.nodes = list(nodes)
        self.store = store

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class, and what makes another one like this."""
        kwargs = {"dir": self.dir, "nodes": self.nodes, "store": self.store}
        return f"{__name__}.{type(self).__name__}", kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The end of the task, or what a worker has to do for it."""
        watch, failures, unsure = self._watch(), 0, False
        while True:
            try:
                found = self._found(await watch.standing())
            except (DbtorchError, OSError, AirflowRuntimeError) as error:
                failures += 1
                self.log.warning("how the run stands is not known: %s", error)
                if failures >= _PATIENCE:
                    yield TriggerEvent({"next": Next.WAIT.value})
                    return
                found = Next.WAIT
            if isinstance(found, Ended) and (found.sure or unsure):
                self.log.info("%s", found.says)
                yield _EVENTS[found.end]()
                return
            if found is Next.AGAIN:
                yield TriggerEvent({"next": found.value})
                return
            unsure = isinstance(found, Ended)
            await asyncio.sleep(LOOK_EVERY)

    def _found(self, standing: Standing) -> Ended | Next:
        return decided(standing, self.nodes, self._tries)

    @property
    def _tries(self) -> int:
        return int(self.task_instance.try_number)

    def _watch(self) -> _Watch:
        dag = (str(self.task_instance.dag_id), str(self.task_instance.run_id))
        key = (self.dir, self.store, *dag, self._tries > 1)
        found = _WATCHES.get(key)
        if found is None:
            found = _WATCHES[key] = _Watch(self.dir, self.store, dag, self._tries > 1)
        return found


class RunTrigger(NodesTrigger):
    """Waits until the run has ended; a worker then tells of what it has built."""

    def _found(self, standing: Standing) -> Ended | Next:
        if not standing.ended:
            return Next.WAIT
        return Next.AGAIN if standing.record is not None else decided(standing, (), 1)


def waits(
    trigger: type[NodesTrigger], dir: Path, nodes: Sequence[str], store: str | None
) -> Mapping[str, Any]:
    """A trigger's class and arguments, for a task that begins with it."""
    return {
        "trigger_cls": f"{__name__}.{trigger.__name__}",
        "trigger_kwargs": {"dir": str(dir), "nodes": list(nodes), "store": store},
    }
