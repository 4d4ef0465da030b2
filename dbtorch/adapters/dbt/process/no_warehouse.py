"""What an engine answers that has no open session to ask the warehouse through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from dbtorch.core.errors import EngineError
from dbtorch.ports.engine import Place


class NoWarehouse:
    """Implements `Warehouse` by saying which engine can be asked. Each call raises."""

    def tables(self) -> NoReturn:
        """Raises `EngineError`."""
        self._refuse()

    def content(self, relation: str, *, ignore: Sequence[str] = ()) -> NoReturn:
        """Raises `EngineError`."""
        del relation, ignore
        self._refuse()

    def drop_schemas(self, prefix: str, databases: Sequence[str]) -> NoReturn:
        """Raises `EngineError`."""
        del prefix, databases
        self._refuse()

    def rows(self, sql: str, most: int) -> NoReturn:
        """Raises `EngineError`."""
        del sql, most
        self._refuse()

    def columns(self, database: str, schema: str, name: str) -> NoReturn:
        """Raises `EngineError`."""
        del database, schema, name
        self._refuse()

    def mark_schema(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> NoReturn:
        """Raises `EngineError`."""
        del database, schema, table, marker
        self._refuse()

    def clone(self, relation: Place, of: Place) -> NoReturn:
        """Raises `EngineError`."""
        del relation, of
        self._refuse()

    def make(self, relation: Place, sql: str, *, view: bool) -> NoReturn:
        """Raises `EngineError`."""
        del relation, sql, view
        self._refuse()

    def marked_schemas(self, databases: Sequence[str], pattern: str, table: str) -> NoReturn:
        """Raises `EngineError`."""
        del databases, pattern, table
        self._refuse()

    def drop_marked(
        self, database: str, schema: str, table: str, marker: Mapping[str, str]
    ) -> NoReturn:
        """Raises `EngineError`."""
        del database, schema, table, marker
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise EngineError(
            "the process engine has no open session to ask the warehouse through; "
            "engine.type: session has one"
        )
