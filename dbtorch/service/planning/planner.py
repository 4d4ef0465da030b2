"""The plan made of what dbt answers: what it answered last time, what it answers now, or both."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dbtorch.app.step_wiring import texts_to_resolve
from dbtorch.core.errors import EngineError
from dbtorch.core.model.events import Outdated
from dbtorch.core.model.state import FailureClass
from dbtorch.service.planning.manifest_cache import same
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.run.launch import Launched

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected
    from dbtorch.ports.store import Store
    from dbtorch.service.resume.request import RetryRequest


class Planner:
    """What dbt answers about the project of one execution."""

    def __init__(self, launched: Launched, store: Store) -> None:
        self._launched = launched
        self._engine = launched.engine
        self._manifest_cache = launched.manifest_cache
        self._store = store
        self._texts = texts_to_resolve(launched.project.config)  # selections that steps name
        self._found: list[Selected] = []  # dbt's answer, where it is not the kept one

    def first(self, request: RetryRequest | None) -> OpenedPlan:
        """A plan from dbt's answer, or from the kept one where that saves time.

        ``asked`` is what is asked of a run that goes on. Raises `EngineError`, `UsageError`.
        """
        texts, kept = self._texts, self._launched.kept
        if request is not None:  # what runs again depends on the code as it is now
            return self._accepted(
                self._engine.open((*texts, *request.texts(self._launched.project.config)))
            )
        if kept is not None and self._launched.speculative:
            return self._accepted(kept)
        if kept is not None:
            opened = self._plan(kept)
            if self._may_start_before_dbt(opened):
                work = partial(self._compare, texts, kept)
                threading.Thread(target=work, name="dbtorch-open", daemon=True).start()
                return opened
        opened = self._accepted(self._engine.open(texts))
        if self._may_start_before_dbt(opened):
            keep = partial(self._manifest_cache.keep, opened.selected)
            threading.Thread(target=keep, name="dbtorch-keep").start()
        return opened

    def anew(self) -> OpenedPlan:
        """A plan from what dbt answers now, where that is not what it answered last time."""
        self._manifest_cache.forget()
        return self._accepted(self._found.pop() if self._found else self._engine.open(self._texts))

    def _may_start_before_dbt(self, opened: OpenedPlan) -> bool:
        return opened.starts_with_steps or self._engine.plans_from_cache

    def _compare(self, texts: Sequence[str], kept: Selected) -> None:
        """Let dbt nodes start when dbt answers what it did last time; if not, plan anew."""
        try:
            found = self._engine.open(texts)
        except EngineError as error:
            if error.failure_class is FailureClass.CODE:  # not, where somebody has ended dbt
                self._manifest_cache.forget()
            self._engine.refuse(str(error), error.failure_class)
            return
        if same(kept, found):
            self._engine.accept()
            return
        self._found.append(found)
        self._launched.inbox.put(Outdated())

    def _accepted(self, selected: Selected) -> OpenedPlan:
        opened = self._plan(selected)
        self._engine.accept()
        return opened

    def _plan(self, selected: Selected) -> OpenedPlan:
        launched = self._launched
        return OpenedPlan.of(
            launched.project,
            selected,
            launched.options,
            self._store,
            run_id=launched.run_context.run_id,
        )
