"""Which class a failure is of, asked of real warehouses: it decides whether a retry makes sense."""

from __future__ import annotations

from pathlib import Path

import psycopg

from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.settings import Settings
from tests.parity.artifacts import invalid
from tests.sessions import Session, Shop, driven, on_postgres

TRANSIENT, DATA, CODE = FailureClass.TRANSIENT, FailureClass.DATA, FailureClass.CODE

ONCE = Settings(retries=0)

#: A column of nulls that may have none.
REFUSES_NULLS = """
    models:
      - name: null_in_contract
        config: {contract: {enforced: true}}
        columns: [{name: id, data_type: integer, constraints: [{type: not_null}]}]
      - name: other_columns
        config: {contract: {enforced: true}}
        columns: [{name: id, data_type: integer}]
      - name: tested
        columns: [{name: id, data_tests: [{not_null: {name: refused}}]}]
"""

#: name -> SQL of a table, and what its failure must be; the same in every warehouse
ANYWHERE = {
    "tested": ("select cast(null as integer) as id", None),
    # dbt refuses a contract that its own SQL does not keep before anything runs
    "other_columns": ("select 1 as other", DATA),
    "null_in_contract": ("select cast(null as integer) as id", DATA),
    "bad_cast": ("select cast('x' as integer) as id", DATA),
    "missing_table": ("select * from nowhere", CODE),
    "missing_column": ("select nothing from (select 1 as id) as one", CODE),
    "bad_syntax": ("selct 1", CODE),
    "undefined_in_jinja": ("select {{ nothing.at.all }}", CODE),
    "raises_in_jinja": ("select {{ exceptions.raise_compiler_error('no') if execute }}", CODE),
}


def test_failures_on_postgres(tmp_path: Path, postgres_database: str) -> None:
    target = on_postgres(postgres_database)
    cases = ANYWHERE | {
        # SQLSTATEs that are hard to come by in a test are raised by a function
        "serialization": (_raises("40001"), TRANSIENT),
        "deadlock": (_raises("40P01"), TRANSIENT),
        "connection_lost": (_raises("08006"), TRANSIENT),
        "too_many_connections": (_raises("53300"), TRANSIENT),
        "lock_not_available": (_raises("55P03"), TRANSIENT),
        "backend_terminated": ("select pg_terminate_backend(pg_backend_pid()) as id", TRANSIENT),
        "statement_timeout": (
            "{{ config(pre_hook='set local statement_timeout = 50') }} select 1 as id from pg_sleep(10)",
            FailureClass.TIMEOUT,
        ),
        # whoever may not take the role at all gets the same error
        "no_permission": ("{{ config(pre_hook='set local role pg_monitor') }} select 1", CODE),
        "division_by_zero": ("select 1 / (random() * 0)::int as id", DATA),
    }
    retried = "select {{ target.schema }}.fails_first(2, '40001') as id"
    shop = Shop(
        tmp_path / "shop",
        _tables({name: sql for name, (sql, _) in cases.items()} | {"flaky": retried}),
        project="models: {shop: {+materialized: table}}",
        target=target,
        threads=4,
    )
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(_FUNCTIONS.replace("$schema", target["schema"]))

    found = driven(shop, each=ONCE, settings={"flaky": Settings(retries=2)})

    expected = {name: failure for name, (_, failure) in cases.items()}
    assert {name: found.outcome(name).failure_class for name in cases} == expected
    assert "  as asked\n" in found.outcome("serialization").message
    assert _verdicts(found) == [("fail", DATA, "Got 1 result, configured to fail if != 0")]

    first, second, third = found.outcomes("flaky")
    assert [o.failure_class for o in (first, second, third)] == [TRANSIENT, TRANSIENT, None]
    for number, outcome in enumerate((first, second), 1):
        assert f"failure number {number}" in outcome.message
        assert outcome.details["status"] == "error"
        assert f"failure number {number}" in found.log("flaky", number)
        assert f"failure number {3 - number}" not in found.log("flaky", number)
    assert (third.state, third.message, third.rows_affected) == (State.SUCCESS, "SELECT 1", 1)
    assert third.details["adapter_response"]["rows_affected"] == 1
    assert "failure number" not in found.log("flaky", 3)
    assert shop.query("select id from flaky") == [(1,)]
    assert invalid(shop.dir / "target") == []


def test_failures_on_duckdb(tmp_path: Path) -> None:
    cases = ANYWHERE | {
        "raises_in_sql": ("select error('as asked') as id", DATA),
        "missing_file": ("select * from read_csv('nothing.csv')", CODE),
    }
    python = {
        "connection_reset": ("raise ConnectionResetError('by peer')", TRANSIENT),
        "api_timeout": ("raise TimeoutError('no answer')", TRANSIENT),
        "http_503": ("raise OSError('HTTP Error 503: Service Unavailable')", TRANSIENT),
        "missing_package": ("import nothing_here", CODE),
        "type_error": ("1 + 'one'", CODE),
        "value_error": ("raise ValueError('what?')", FailureClass.UNKNOWN),
    }
    models = {
        f"models/{name}.py": f"def model(dbt, session):\n    {line}\n    return 1\n"
        for name, (line, _) in python.items()
    }
    shop = Shop(
        tmp_path / "shop",
        {**_tables({name: sql for name, (sql, _) in cases.items()}), **models},
        project="models: {shop: {+materialized: table}}",
        threads=4,
    )

    found = driven(shop, each=ONCE, failure_classes=())

    cases |= python
    expected = {name: failure for name, (_, failure) in cases.items()}
    assert {name: found.outcome(name).failure_class for name in cases} == expected
    assert _verdicts(found) == [("fail", DATA, "Got 1 result, configured to fail if != 0")]
    assert "ValueError: what?" in found.outcome("value_error").message
    assert invalid(shop.dir / "target") == []


def _verdicts(found: Session) -> list[object]:
    """What the tests of the project came to."""
    return [
        (outcome.details["status"], outcome.failure_class, outcome.message)
        for id in found.states
        if id.startswith("test.")
        for outcome in found.outcomes(id)
    ]


_FUNCTIONS = """
    create schema $schema;
    create sequence $schema.calls;
    create function $schema.raises(state text) returns int language plpgsql as $$
    begin
        raise exception using errcode = state, message = 'as asked';
    end $$;
    create function $schema.fails_first(times int, state text) returns int language plpgsql as $$
    declare call int := nextval('$schema.calls');  -- no rollback takes that back
    begin
        if call <= times then
            raise exception using errcode = state, message = 'failure number ' || call;
        end if;
        return 1;
    end $$;
"""


def _raises(state: str) -> str:
    return f"select {{{{ target.schema }}}}.raises('{state}') as id"


def _tables(models: dict[str, str]) -> dict[str, str]:
    files = {f"models/{name}.sql": sql for name, sql in models.items()}
    return {**files, "models/models.yml": REFUSES_NULLS}
