"""Everything in a project's database, in a form that can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import psycopg

from tests.parity.normal import normal, normal_cell
from tests.parity.project import Project

Row = tuple[str | None, ...]
Query = Callable[[str], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or function."""

    kind: str
    columns: tuple[tuple[str, str], ...]  # name and type
    rows: tuple[Row, ...]  # sorted; every value as text


_DUCKDB_RELATIONS = """
    select table_schema, table_name, lower(table_type) from information_schema.tables
    where table_catalog = current_database()
"""
_DUCKDB_FUNCTIONS = """
    select schema_name, function_name, function_type, array_to_string(parameters, ', '), macro_definition
    from duckdb_functions() where not internal
"""
_POSTGRES_RELATIONS = """
    select n.nspname, c.relname,
        case c.relkind when 'r' then 'base table' when 'v' then 'view' else 'materialized view' end
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'v', 'm')
        and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
        and n.nspname not like 'pg_temp_%' -- a server that crashed removes them later
"""
_POSTGRES_FUNCTIONS = """
    select n.nspname, p.proname, 'function', pg_get_function_arguments(p.oid), p.prosrc
    from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
    where n.nspname not in ('pg_catalog', 'information_schema')
"""


def warehouse(project: Project) -> dict[str, Relation]:
    """Every relation by its name, ``schema.name``; empty when there is no database yet."""
    if project.postgres:
        with psycopg.connect(project.postgres, autocommit=True) as postgres:
            return _read(
                project,
                lambda sql: postgres.execute(sql.replace("%", "%%")).fetchall(),
                _POSTGRES_RELATIONS,
                _POSTGRES_FUNCTIONS,
            )
    if project.duckdb_file is None or not project.duckdb_file.exists():
        return {}
    with duckdb.connect(str(project.duckdb_file), read_only=True) as file:
        return _read(
            project, lambda sql: file.execute(sql).fetchall(), _DUCKDB_RELATIONS, _DUCKDB_FUNCTIONS
        )


def _read(project: Project, query: Query, relations: str, functions: str) -> dict[str, Relation]:
    found: dict[str, Relation] = {}
    times: Counter[str] = Counter()
    for schema, name, kind in sorted(query(relations)):
        shown = normal(f"{schema}.{name}", project)
        times[shown] += 1
        if times[shown] > 1:  # temporary tables that were left behind, one for each run
            shown = f"{shown} ({times[shown]})"
        found[shown] = _relation(project, query, schema, name, kind)
    for schema, name, kind, *rest in query(functions):
        found[f"{schema}.{name}()"] = Relation(kind, (), (tuple(map(str, rest)),))
    return found


def _relation(project: Project, query: Query, schema: str, name: str, kind: str) -> Relation:
    relation = f'"{schema}"."{name}"'
    columns = _columns(query, schema, name)
    values = ", ".join(f'cast("{column}" as varchar)' for column, _ in columns)
    try:
        rows = query(f"select {values} from {relation}")
    except (duckdb.Error, psycopg.Error) as error:
        # a view over something that is gone; that it is, is part of the comparison
        return Relation(kind, columns, ((f"unreadable: {type(error).__name__}",),))
    names = [column for column, _ in columns]
    cells = [
        tuple(normal_cell(column, value, project) for column, value in zip(names, row, strict=True))
        for row in rows
    ]
    return Relation(kind, columns, tuple(sorted(cells, key=repr)))


def _columns(query: Query, schema: str, name: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (column, kind)
        for column, kind in query(
            f"""
            select column_name, data_type from information_schema.columns
            where table_schema = '{schema}' and table_name = '{name}'
            order by ordinal_position
            """
        )
    )
