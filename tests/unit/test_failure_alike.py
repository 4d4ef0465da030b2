"""The same error has the same class on every warehouse, and whoever tells of it.

The session engine has the driver's exception, the process engine its words alone.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg2
import pytest

from dbtorch.adapters.dbt.dbtorch_worker.evidence import chain
from dbtorch.core.failures.classify import classify
from dbtorch.core.model.state import FailureClass

C, D, T = FailureClass.CODE, FailureClass.DATA, FailureClass.TRANSIENT

DUCKDB = {
    "select error('boom')": D,
    "select 'x'::int": D,
    "select 99999999999::int": D,
    "select * from read_csv('/nowhere/orders.csv')": C,
    "select * from read_parquet('/nowhere/*.parquet')": C,
    "copy (select 1) to '/nowhere/orders.csv'": C,
    "attach '/nowhere/x.duckdb'": C,
    "load nothing_of_that_name": C,
    "copy (select range from range(1000000)) to '/dev/full'": T,
    "select nothing": C,
    "select * from nothing": C,
}

POSTGRES = {
    "do $$ begin raise exception 'boom'; end $$": D,
    "do $$ begin raise division_by_zero; end $$": D,
    "do $$ begin assert false, 'boom'; end $$": D,
    "do $$ begin case 1 when 2 then null; end case; end $$": D,
    "select 'x'::int": D,
    "select 1 / 0": D,
    "select nothing": C,
    "select * from nothing": C,
    "select currval('pg_catalog.nothing')": C,
    "copy pg_temp.nothing from '/nowhere/orders.csv'": C,
    "set transaction read only; create table public.nothing (id int)": C,
}


def classes(error: Exception) -> tuple[FailureClass, FailureClass]:
    """By the exception, and by its words alone."""
    return classify(chain(error), str(error)), classify((), str(error))


@pytest.mark.parametrize(("sql", "expected"), DUCKDB.items())
def test_an_error_of_duckdb(sql: str, expected: FailureClass) -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.Error) as raised:
        connection.execute(sql).fetchall()
    assert classes(raised.value) == (expected, expected)


@pytest.mark.parametrize(("sql", "expected"), POSTGRES.items())
def test_an_error_of_postgres(sql: str, expected: FailureClass, postgres_database: str) -> None:
    connection = psycopg2.connect(postgres_database)
    try:
        with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as raised:
            cursor.execute(sql)
    finally:
        connection.close()
    assert classes(raised.value) == (expected, expected)


def test_a_server_that_is_not_there_may_come(tmp_path: Path) -> None:
    with pytest.raises(psycopg2.OperationalError, match="No such file or directory") as raised:
        psycopg2.connect(host=str(tmp_path), dbname="x")
    assert classes(raised.value) == (T, T)
