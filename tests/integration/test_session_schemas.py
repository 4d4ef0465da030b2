"""Schemas that are marked, filled beforehand and dropped, through dbt's own connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbtorch.core.errors import EngineError
from tests.sessions import Session, Shop, on_postgres

TABLE = "dbtorch_ci"
PR = {"pr": "12", "project": "shop", "built_at": "2026-11-30T12:00:00+00:00"}


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_schema_is_ours_from_its_first_moment_on(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    target = None
    if kind == "postgres":
        target = on_postgres(request.getfixturevalue("postgres_database"))
    shop = Shop(tmp_path / "shop", {"models/one.sql": "select 1 as id"}, target=target)
    session = Session(shop, tmp_path / "out").open()
    engine = session.engine
    try:
        database = str(session.selected.target["database"])
        top = str(session.selected.target["schema"])

        def marked() -> dict[str, object]:
            found = engine.marked_schemas([database], f"{top}_pr_.*", TABLE)
            return {name.removeprefix(top): marker for _, name, marker in found}

        # what is ended between the schema and its marker leaves neither
        with pytest.raises(EngineError):
            engine.mark_schema(database, f"{top}_pr_1", TABLE, {**PR, "two words": "no column"})
        assert marked() == {}
        assert engine.mark_schema(database, f"{top}_pr_12", TABLE, PR)
        later = {**PR, "built_at": "2026-11-30T13:00:00+00:00"}
        assert engine.mark_schema(database, f"{top}_pr_12", TABLE, later)
        assert marked() == {"_pr_12": later}

        # a view or table takes the place of what is there; no rows are copied by a clone
        place, other = (database, f"{top}_pr_12", "a"), (database, f"{top}_pr_12", "b")
        for view, rows in ((True, 1), (False, 2), (True, 3)):
            engine.make(place, f"select * from generate_series(1, {rows}) as t(i)", view=view)
            assert engine.rows(f"select count(*) from {top}_pr_12.a", 1) == [[rows]]
        assert not engine.clone(other, place)
        assert not engine.columns(*other)

        # a name is quoted as SQL has it, whatever is part of it
        engine.make(
            (database, f"{top}_pr_12", "q"), 'select 1 as "a""b", 2 as "select"', view=False
        )
        quoted = [sql for _, sql, _ in engine.columns(database, f"{top}_pr_12", "q")]
        assert quoted == ['"a""b"', '"select"']
        assert engine.rows(f"select {', '.join(quoted)} from {top}_pr_12.q", 1) == [[1, 2]]

        # somebody else's schema is not marked, and what was built in again is not dropped
        engine.make((database, f"{top}_pr_12", "c"), "select 1 as i", view=False)
        assert not engine.drop_marked(database, f"{top}_pr_12", TABLE, PR)
        assert engine.drop_marked(database, f"{top}_pr_12", TABLE, later)
        assert marked() == {}
    finally:
        engine.close()
