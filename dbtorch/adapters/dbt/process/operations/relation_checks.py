"""Looks at relations for the checks of them: one dbt for all that are looked at together.

A query that fails ends its dbt. What it asked for is then asked part by part, to see which of it is
wrong, and what comes after it goes on in another dbt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.dbtorch_worker.relation_sql import expressions, listed, put
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.executable import how
from dbtorch.adapters.dbt.process.operations.operation import (
    MAX_BYTES,
    Ended,
    Mark,
    Operation,
    write,
)
from dbtorch.adapters.dbt.session.answers import look_of
from dbtorch.core.checks.relation_checks import RelationChecks
from dbtorch.core.failures.classify import classify
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Attempt, Batch, Finished, Outcome, Started
from dbtorch.core.model.events import Ended as Over
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import SCHEMA
from dbtorch.core.model.state import FailureClass, State
from dbtorch.ports.loop import Emit

#: Room for a few dozen relations in one dbt's arguments, which are written twice as JSON.
_ROOM = MAX_BYTES // 2


def named(id: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """How a macro finds the relation of a node of the manifest."""
    if Kind.of(id) is Kind.SOURCE:
        return {"source": [node.get("source_name"), node.get("name")], "relation": None}
    config = node.get("config") or {}
    said = {**(node.get("quoting") or {}), **(config.get("quoting") or {})}
    return {
        "source": None,
        "relation": {
            "database": node.get("database"),
            "schema": node.get("schema"),
            "identifier": node.get("alias") or node.get("name"),
            "quoting": {
                part: said[part]
                for part in ("database", "schema", "identifier")
                if said.get(part) is not None
            },
        },
    }


@dataclass(slots=True)
class _Look:
    """What is asked for one attempt, and what came of it."""

    attempt: Attempt
    asked: Mapping[str, Any]
    relation: Mapping[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    columns: list[Any] | None = None
    raised: dict[str, Exception] = field(default_factory=dict)
    parts_left: int = 1

    def whole(self) -> _Part:
        """Everything in one query."""
        return _Part(self, expressions(self.asked), columns=bool(self.asked["columns"]))

    def message(self) -> dict[str, Any]:
        """It as a worker answers it, of which there is one reading."""
        found: dict[str, Any] = {"nulls": {}, "newest": {}}
        failed = dict(self.raised)
        count = len(expressions(self.asked)) + bool(self.asked["columns"])
        if failed and len(failed) == count:
            return {"status": "error", "message": str(next(iter(failed.values())))}
        put(found, self.asked, self.values, failed)
        if self.columns is not None:
            found["columns"] = self.columns
        answer: dict[str, Any] = {"status": "success", "found": found}
        if failed:
            found["errors"] = {name: " ".join(str(e).split()) for name, e in failed.items()}
        return answer


@dataclass(frozen=True, slots=True)
class _Part:
    """Expressions that are asked in one query, and whether columns are asked for."""

    look: _Look
    wanted: Mapping[str, str]
    columns: bool

    def apart(self) -> list[_Part]:
        """Each of it by itself."""
        alone = [_Part(self.look, {name: one}, columns=False) for name, one in self.wanted.items()]
        return [*alone, *([_Part(self.look, {}, columns=True)] if self.columns else [])]

    def told(self) -> dict[str, Any]:
        """It as the macro is asked."""
        return {
            **self.look.relation,
            "listed": listed(self.wanted.values()),
            "columns": self.columns,
        }

    def took(self, about: Any) -> None:
        """Take what the macro answered."""
        values = [value_of(one) for one in about["values"]]
        self.look.values.update(zip(self.wanted, values, strict=True))
        if not self.columns:
            return
        if about["columns"]:
            self.look.columns = about["columns"]
        else:
            why = "the catalogue has no columns of it; is it there?"
            self.look.raised[SCHEMA] = LookupError(why)

    def failed(self, why: str) -> None:
        """It alone cannot be answered."""
        self.look.raised[next(iter(self.wanted), SCHEMA)] = RuntimeError(why)


class _Turn:
    """One dbt, asked for some parts in their order."""

    def __init__(
        self,
        parts: Sequence[_Part],
        note: Callable[[_Part, str, str], None],
        interrupted: Callable[[], bool],
    ) -> None:
        self.parts = tuple(parts)
        self.answered = 0
        self.under_way = False  # the first that is not answered has begun
        self._note = note
        self._interrupted = interrupted

    def heard(self, one: Mark | LogMessage) -> None:
        """Take what dbt says."""
        if self.answered == len(self.parts):
            return
        part = self.parts[self.answered]
        if isinstance(one, LogMessage):
            if self.under_way and one.level in ("warn", "error"):
                self._note(part, "says", one.text)
        elif one.what == "begins":
            self.under_way = True
            self._note(part, "begins", "")
        elif one.what == "ends":
            if self._interrupted():
                return  # dbt 2 goes on then as if a query were done that it never sent
            part.took(one.about)
            self.answered, self.under_way = self.answered + 1, False
            self._note(part, "ends", "")
        else:
            self._note(part, "says", str(one.about))


class RelationCheckBatch:
    """A batch of nodes that look at relations."""

    def __init__(
        self,
        batch: Batch,
        operation: Operation,
        watches: Mapping[str, RelationChecks],
        relations: Mapping[str, Mapping[str, Any]],
        *,
        emit: Emit,
        log_path: Callable[[Attempt], Path],
        rules: Sequence[Rule],
    ) -> None:
        """``relations`` are what `named` says of each, by their ids."""
        self.batch = batch
        self._operation = operation
        self._emit = emit
        self._log_path = log_path
        self._rules = rules
        self._looks = [
            _Look(
                attempt,
                watches[attempt.node_id].asks(),
                relations[watches[attempt.node_id].relation],
            )
            for attempt in batch.attempts
        ]
        self._begun: set[str] = set()
        self._asked: set[str] = set()

    def cancel(self, attempt: Attempt) -> None:
        """Interrupt dbt; what else it had in hand is innocent."""
        self._asked.add(attempt.node_id)
        self._operation.interrupt()

    def kill(self, why: str) -> None:
        """End dbt at once."""
        self._operation.kill(why)

    def follow(self) -> None:
        """Look, and tell what came of it, until it is over. Raises `EngineError`."""
        left = [look.whole() for look in self._looks]
        while left:
            count = fitting([part.told() for part in left])
            turn = _Turn(left[:count], self._note, lambda: self._operation.interrupted)
            asked = [part.told() for part in turn.parts]
            ended = self._operation.run("dbtorch_look", asked, turn.heard)
            left = [*turn.parts[turn.answered :], *left[count:]]
            if turn.answered == count:
                continue
            if not turn.under_way or not self._is_its_own_fault(ended):
                self._give_up(left[0].look.attempt if turn.under_way else None, ended)
                return
            failed, *left = left
            again = failed.apart()
            if len(again) > 1:
                failed.look.parts_left += len(again) - 1
                left = [*again, *left]
            else:
                failed.failed(ended.errors)
                self._note(failed, "ends")
        self._emit(Over(self.batch, ""))

    def _note(self, part: _Part, what: str, text: str = "") -> None:
        """A part begins or ends, or something is said of it."""
        attempt = part.look.attempt
        if what == "begins" and attempt.node_id not in self._begun:
            self._begun.add(attempt.node_id)
            self._emit(Started(attempt))
        elif what == "ends":
            self._count_down(part.look)
        elif text:
            write(partial(self._log_path, attempt), text)

    def _is_its_own_fault(self, ended: Ended) -> bool:
        """Whether a query has failed, and not dbt or somebody has ended it."""
        return ended.code > 0 and bool(ended.errors) and not self._operation.interrupted

    def _count_down(self, look: _Look) -> None:
        """A part of it is done; tell of the whole when it was the last."""
        look.parts_left -= 1
        if look.parts_left == 0:
            if look.columns is not None:
                columns = "\n".join(" ".join(column) for column in look.columns)
                write(partial(self._log_path, look.attempt), columns)
            outcome = look_of(look.attempt.node_id, look.message(), self._rules)
            self._emit(Finished(look.attempt, outcome))

    def _give_up(self, under_way: Attempt | None, ended: Ended) -> None:
        """What is left has not been looked at."""
        if self._operation.killed_for:
            self._emit(Over(self.batch, self._operation.killed_for, FailureClass.UNKNOWN))
            return
        if self._operation.interrupted:
            why = "dbt was interrupted"
            if under_way is not None:
                outcome = Outcome(
                    state=State.FAILED, message=why, failure_class=FailureClass.UNKNOWN
                )
                innocent = under_way.node_id not in self._asked
                self._emit(Finished(under_way, replace(outcome, innocent=innocent)))
            self._emit(Over(self.batch, why, FailureClass.UNKNOWN))
        elif ended.code < 0:
            self._emit(Over(self.batch, how(ended.code), FailureClass.TRANSIENT))
        elif ended.errors:
            found = classify((), ended.errors, self._rules)
            self._emit(Over(self.batch, ended.errors, found))
        else:
            why = f"{how(ended.code)}, and has not looked at it"
            self._emit(Over(self.batch, why, FailureClass.UNKNOWN))


def fitting(told: Sequence[Mapping[str, Any]]) -> int:
    """How many of these dbt can be asked at once; at least one."""
    length = 0
    for place, one in enumerate(told):
        length += len(json.dumps(one))
        if length > _ROOM and place > 0:
            return place
    return len(told)


def value_of(said: Mapping[str, Any]) -> Any:
    """A value of the warehouse, as far as Jinja can tell it: a number, a text, or a time's text.

    dbt 2 does not say of a decimal that it is a number.
    """
    if said["none"]:
        return None
    text = str(said["text"])
    if said["string"]:
        return text
    try:
        return Decimal(text)
    except InvalidOperation:
        return text
