"""The plan made of what dbt answers: what it answered last time, what it answers now, or both."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from dbtorch.app.planning import texts_to_resolve
from dbtorch.cli.head_start import same
from dbtorch.cli.launching import Begun
from dbtorch.cli.opening import Opening
from dbtorch.core.events import Outdated
from dbtorch.ports import EngineError, Selected, Store

if TYPE_CHECKING:
    from dbtorch.cli.asked import Asked


class Answering:
    """What dbt answers about the project of one stretch."""

    def __init__(self, begun: Begun, store: Store) -> None:
        self._begun = begun
        self._engine = begun.engine
        self._head_start = begun.head_start
        self._store = store
        self._found: list[Selected] = []  # dbt's answer, where it is not the kept one

    def first(self, asked: Asked | None) -> Opening:
        """A plan from dbt's answer, or from the kept one where that saves time.

        ``asked`` is what is asked of a run that goes on. Raises `EngineError`, `UsageError`.
        """
        texts, kept = self._texts(), self._begun.kept
        if asked is not None:  # what runs again depends on the code as it is now
            return self._accepted(self._engine.open((*texts, *asked.texts())))
        if kept is not None and self._begun.goes_ahead:
            return self._accepted(kept)
        if kept is not None:
            opening = self._plan(kept)
            if self._may_start_before_dbt(opening):
                work = partial(self._compare, texts, kept)
                threading.Thread(target=work, name="dbtorch-open", daemon=True).start()
                return opening
        opening = self._accepted(self._engine.open(texts))
        if self._may_start_before_dbt(opening):
            keep = partial(self._head_start.keep, opening.selected)
            threading.Thread(target=keep, name="dbtorch-keep").start()
        return opening

    def anew(self) -> Opening:
        """A plan from what dbt answers now, where that is not what it answered last time."""
        self._head_start.forget()
        return self._accepted(
            self._found.pop() if self._found else self._engine.open(self._texts())
        )

    def _may_start_before_dbt(self, opening: Opening) -> bool:
        return opening.starts_with_steps or self._engine.plans_ahead

    def _compare(self, texts: Sequence[str], kept: Selected) -> None:
        """Let dbt nodes start when dbt answers what it did last time; if not, plan anew."""
        try:
            found = self._engine.open(texts)
        except EngineError as error:
            self._head_start.forget()
            self._engine.refuse(str(error))
            return
        if same(kept, found):
            self._engine.accept()
            return
        self._found.append(found)
        self._begun.inbox.put(Outdated())

    def _accepted(self, selected: Selected) -> Opening:
        opening = self._plan(selected)
        self._engine.accept()
        return opening

    def _plan(self, selected: Selected) -> Opening:
        begun = self._begun
        return Opening.of(
            begun.project, selected, begun.options, self._store, run_id=begun.occasion.run_id
        )

    def _texts(self) -> Sequence[str]:
        """Selections that steps name."""
        return texts_to_resolve(self._begun.project.config)
