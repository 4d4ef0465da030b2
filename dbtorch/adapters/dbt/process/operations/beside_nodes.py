"""What dbt executes beside nodes, in the project's shadow: SQL steps, and looks at relations."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.target_directories import PARTIAL_PARSE
from dbtorch.adapters.dbt.sql_step_kind import SqlStep
from dbtorch.core.errors import EngineError
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Attempt, Batch
from dbtorch.ports.engine import Selected
from dbtorch.ports.loop import Emit

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
    from dbtorch.adapters.dbt.process.operations.isolated_hooks import IsolatedHooks
    from dbtorch.adapters.dbt.process.operations.relation_checks import RelationCheckBatch
    from dbtorch.adapters.dbt.process.operations.sql_step import StepRun
    from dbtorch.core.checks.relation_checks import RelationChecks

#: What is looked at.
_SECTIONS = ("nodes", "sources")


@dataclass(slots=True, kw_only=True)
class BesideNodes:
    """SQL steps and checks of a run."""

    executable: Executable
    words: DbtArgs  # of the run
    folder: Path  # for the shadow, where hooks have not made one
    environ: Mapping[str, str]  # what dbt sees
    sql: Mapping[str, SqlStep]  # by node id
    run: Mapping[str, Any]  # `run` in their templates
    emit: Emit
    log_path: Callable[[Attempt], Path]
    rules: Sequence[Rule]
    grace: float
    watches: Mapping[str, RelationChecks] = field(default_factory=dict)
    selected: Selected | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)  # for checks alone
    hooks: IsolatedHooks | None = None
    _shadow: Path | None = None
    _places: dict[int, Path] = field(default_factory=dict)  # where dbt writes, by batch
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def has(self, id: str) -> bool:
        """Whether a node is its business."""
        return id in self.sql or id in self.watches

    def take(self, batch: Batch) -> StepRun | RelationCheckBatch:
        """What executes a batch; to be given back when that is over."""
        from dbtorch.adapters.dbt.process.operations.operation import Operation
        from dbtorch.adapters.dbt.process.operations.relation_checks import (
            RelationCheckBatch,
            named,
        )
        from dbtorch.adapters.dbt.process.operations.sql_step import StepRun

        assert self.selected is not None
        with self._lock:
            places = (self.folder / "operations" / str(n) for n in itertools.count(1))
            self._places[batch.id] = next(p for p in places if p not in self._places.values())
        place = self._places[batch.id]
        operation = Operation(self.executable, partial(self._words_at, place), self.grace)
        first = batch.attempts[0].node_id
        if first in self.sql:
            selected = self.selected
            return StepRun(
                batch,
                operation,
                self.sql[first],
                self.run,
                {"vars": selected.vars, "target": selected.target},
                emit=self.emit,
                log_path=self.log_path,
                rules=self.rules,
            )
        sections = (self.manifest.get(name) or {} for name in _SECTIONS)
        nodes = {id: node for section in sections for id, node in section.items()}
        looked_at = {self.watches[attempt.node_id].relation for attempt in batch.attempts}
        return RelationCheckBatch(
            batch,
            operation,
            self.watches,
            {id: named(id, nodes[id]) for id in looked_at},
            emit=self.emit,
            log_path=self.log_path,
            rules=self.rules,
        )

    def give_back(self, batch: Batch) -> None:
        """Nothing of it runs any more."""
        with self._lock:
            self._places.pop(batch.id, None)

    def gone(self, ids: Sequence[str]) -> frozenset[str]:
        """The nodes among these whose relations are not there; before anything is executed.

        Raises `EngineError`.
        """
        from dbtorch.adapters.dbt.process.operations.gone_relations import gone_relations
        from dbtorch.adapters.dbt.process.operations.operation import Operation

        place = self.folder / "operations" / "1"
        operation = Operation(self.executable, partial(self._words_at, place), self.grace)
        try:
            return gone_relations(operation, self.manifest["nodes"], ids)
        except (OSError, KeyError) as error:
            raise EngineError(f"the warehouse cannot be looked at ({error})") from error

    def _words_at(self, place: Path) -> tuple[str, ...]:
        """Where dbt is to find our macros, and to write, which nobody else does at the time.

        Raises `EngineError`, `OSError` where the shadow cannot be made.
        """
        from dbtorch.adapters.dbt.process.operations.overlay_project import OverlayProject

        assert self.selected is not None
        with self._lock:
            if self._shadow is None and self.hooks is not None:
                self._shadow = self.hooks.shadow
            elif self._shadow is None:
                folder = self.folder / "project"
                self._shadow = OverlayProject(
                    folder, self.selected.project_dir, (), self.environ
                ).dir
            if not place.exists():
                place.mkdir(parents=True)
                with contextlib.suppress(OSError):  # another one has parsed the same
                    shutil.copyfile(place.with_name("1") / PARTIAL_PARSE, place / PARTIAL_PARSE)
        paths = {"--project-dir": str(self._shadow), "--target-path": str(place)}
        return self.words.with_values(paths).common()
