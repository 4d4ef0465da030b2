"""Looks at a relation for the checks of it: one query, and one of the catalogue for its columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .channel import Message
from .relation_sql import expressions, listed, put
from .results import evidence
from .scrubbing import scrub

#: Writes a line to the log of the attempt.
Log = Callable[[str], None]


def look(task: Any, uid: str, relation_id: str, asked: Message, log: Log) -> Message:
    """What is asked about a relation; ``errors`` has the checks whose part raised.

    Raises what the warehouse raises when nothing could be looked up.
    """
    from dbt.adapters.factory import get_adapter

    adapter = get_adapter(task.config)
    relation = adapter.Relation.create_from(task.config, task.manifest.expect(relation_id))
    with adapter.connection_named(uid):
        looker = _Looker(adapter, relation, log)
        found = looker.look(asked)
        if looker.raised and len(looker.raised) == looker.parts:
            raise next(iter(looker.raised.values()))
    answer: Message = {"found": found}
    if looker.raised:
        found["errors"] = {name: told(error) for name, error in looker.raised.items()}
        answer["errors"] = evidence(next(iter(looker.raised.values())))
    return answer


def told(error: Exception) -> str:
    """An exception in one line, without dbt's heading."""
    return scrub(" ".join(str(getattr(error, "msg", None) or error).split()))


class _Looker:
    def __init__(self, adapter: Any, relation: Any, log: Log) -> None:
        self._adapter = adapter
        self._relation = relation
        self._log = log
        self.parts = 0  # how much was asked
        self.raised: dict[str, Exception] = {}  # by the name of the check

    def look(self, asked: Message) -> Message:
        found: Message = {"nulls": {}, "newest": {}}
        values = self._values(asked)
        put(found, asked, values, self.raised)
        if asked["columns"]:
            self.parts += 1
            self._try("schema", self._columns, found)
        return found

    def _values(self, asked: Message) -> dict[str, Any]:
        """Everything in one query; where that raises, each by itself, to see what is wrong."""
        wanted = expressions(asked)
        self.parts = len(wanted)
        values: dict[str, Any] = {}
        if not wanted:
            return values
        try:
            return self._query(wanted)
        except Exception as error:
            if len(wanted) == 1:
                self.raised[next(iter(wanted))] = error
                return values
        for name, expression in wanted.items():
            self._try(name, self._alone, values, name, expression)
        return values

    def _alone(self, values: dict[str, Any], name: str, expression: str) -> None:
        values.update(self._query({name: expression}))

    def _query(self, wanted: dict[str, str]) -> dict[str, Any]:
        sql = f"select\n    {listed(wanted.values())}\nfrom {self._relation}"
        self._log(sql)
        _, table = self._adapter.execute(sql, auto_begin=True, fetch=True)
        return dict(zip(wanted, table.rows[0]))  # noqa: B905  # Python 3.9

    def _columns(self, found: Message) -> None:
        listed = self._adapter.get_columns_in_relation(self._relation)
        if not listed:
            raise LookupError(f"the catalogue has no columns of {self._relation}; is it there?")
        columns = [[str(column.name), str(column.data_type)] for column in listed]
        self._log("\n".join(" ".join(column) for column in columns))
        found["columns"] = columns

    def _try(self, name: str, work: Callable[..., Any], *given: Any) -> None:
        try:
            work(*given)
        except Exception as error:
            self._log(f"{name}: {error}")
            self.raised[name] = error
