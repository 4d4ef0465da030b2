"""What an engine answers that has no open session to ask the warehouse through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from dbtorch.core.errors import EngineError


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

    def _refuse(self) -> NoReturn:
        raise EngineError(
            "the process engine has no open session to ask the warehouse through; "
            "engine.type: session has one"
        )
