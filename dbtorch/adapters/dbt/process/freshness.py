"""Checks of sources by `dbt source freshness`: what it writes, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.executable import Answer, Executable
from dbtorch.adapters.dbt.session.answers import freshness_of
from dbtorch.core.failures.classify import classify
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.state import FailureClass

_RAISED = "runtime error"


class FreshnessCheck:
    """Asks dbt how old sources are."""

    def __init__(
        self,
        executable: Executable,
        words: Sequence[str],
        names: Mapping[str, str],
        target_path: Path,
        rules: Sequence[Rule],
    ) -> None:
        """``words`` say which project and target; ``names`` are ``package.source.table`` by id."""
        self._executable = executable
        self._words = tuple(words)
        self._names = names
        self._path = target_path / "sources.json"
        self._rules = rules

    def check(
        self, ids: Sequence[str], stop: Callable[[], bool] = lambda: False
    ) -> dict[str, tuple[Outcome, Mapping[str, Any]]]:
        """The outcome for each source, and what dbt writes of it, until it is told to ``stop``."""
        answer, found = self._ask(ids)
        missing = [id for id in ids if id not in found]
        if missing and len(ids) > 1 and not stop():
            # in dbt 2 one that raises takes the others with it
            rest = {id: self.check([id], stop)[id] for id in missing}
        else:
            rest = {id: self._raised(id, answer) for id in missing}
        return {**{id: self._outcome(id, one) for id, one in found.items()}, **rest}

    def _ask(self, ids: Sequence[str]) -> tuple[Answer, dict[str, Mapping[str, Any]]]:
        self._path.unlink(missing_ok=True)
        chosen = [f"source:{self._names[id]}" for id in ids]
        answer = self._executable.ask(("source", "freshness", *self._words, "--select", *chosen))
        try:
            written = json.loads(self._path.read_bytes())["results"]
            found = {one["unique_id"]: one for one in written if one["unique_id"] in ids}
        except (OSError, ValueError, KeyError, TypeError):
            found = {}
        return answer, found

    def _outcome(self, id: str, one: Mapping[str, Any]) -> tuple[Outcome, Mapping[str, Any]]:
        said = {**one, "status": str(one.get("status", _RAISED)).lower()}
        if said["status"] not in ("pass", "warn", "error"):
            return self._failed(id, str(one.get("error") or said["status"]))
        message = {"status": "success", "source": said}
        return freshness_of(id, message, self._rules), said

    def _raised(self, id: str, answer: Answer) -> tuple[Outcome, Mapping[str, Any]]:
        about = [one.text for one in answer.lines if one.level == "error" and one.unique_id == id]
        lost = FailureClass.TRANSIENT if answer.code < 0 else None  # somebody has killed dbt
        return self._failed(id, "\n".join(dict.fromkeys(about)) or answer.errors(), lost)

    def _failed(
        self, id: str, why: str, failure_class: FailureClass | None = None
    ) -> tuple[Outcome, Mapping[str, Any]]:
        written = {"unique_id": id, "error": why, "status": _RAISED}
        message = {"status": "error", "message": why, "source": written}
        outcome = freshness_of(id, message, self._rules)
        found = failure_class or outcome.failure_class or classify((), why, self._rules)
        return replace(outcome, failure_class=found), written
