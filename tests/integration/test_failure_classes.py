"""Errors injected into real sessions: the class of each, how often it is tried, how it ends."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import psycopg

from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.policy import Breaker, OnFailure, Retry
from dbtorch.core.model.state import FailureClass, State
from dbtorch.core.settings import Settings
from tests.parity.artifacts import invalid
from tests.sessions import Session, Shop, driven, on_postgres, session

T, D, C, U = (
    FailureClass.TRANSIENT,
    FailureClass.DATA,
    FailureClass.CODE,
    FailureClass.UNKNOWN,
)
O = FailureClass.TIMEOUT  # noqa: E741

#: The policy that everybody has who says nothing, without its waiting.
DEFAULT = Settings(retry_on=Retry().retries, retry_delay=0.01)

ALWAYS = 1000


@dataclass(frozen=True)
class Expected:
    """What comes of a model that fails so many times before it succeeds."""

    failure: FailureClass
    tries: int
    state: str


def expected(failure: FailureClass, times: int) -> Expected:
    """By the default policy: two retries, one, or none."""
    retries = Retry().retries.get(failure, 0)
    state = "success" if times <= retries else "failed"
    return Expected(failure, min(times, retries) + 1, state)


#: SQLSTATE -> class. https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLSTATES = {
    "08000": T,  # connection exception
    "08001": T,  # no connection made
    "08006": T,  # connection failure
    "40001": T,  # serialization failure
    "40P01": T,  # deadlock
    "53100": T,  # disk full
    "53200": T,  # out of memory
    "53300": T,  # too many connections
    "55006": T,  # object in use
    "55P03": T,  # lock not available
    "57P01": T,  # admin shutdown
    "57P03": T,  # cannot connect now
    "58030": T,  # I/O error
    "57014": O,  # query cancelled
    "21000": D,  # more than one row
    "22003": D,  # out of range
    "22012": D,  # division by zero
    "22P02": D,  # no number
    "23502": D,  # null
    "23503": D,  # foreign key
    "23505": D,  # not unique
    "23514": D,  # check
    "0A000": C,  # not supported
    "28000": C,  # not authorized
    "3F000": C,  # no such schema
    "42501": C,  # permission denied
    "42601": C,  # syntax
    "42703": C,  # no such column
    "42883": C,  # no such function
    "42P01": C,  # no such table
    "54011": C,  # too many columns
    "P0001": D,  # raise exception
    "XX000": D,  # internal error, but somebody has raised it here: PL/pgSQL says so
}

_FUNCTIONS = """
    create schema $schema;
    create table $schema.locked (id int);
    create function $schema.fails_first(counter text, times int, state text) returns int
    language plpgsql as $$
    declare call int := nextval(format('$schema.%I', 'calls_' || counter));  -- no rollback takes that back
    begin
        if call <= times then
            raise exception using errcode = state, message = format('%s, failure %s', state, call);
        end if;
        return call;
    end $$;
"""


def test_errors_of_postgres(tmp_path: Path, postgres_database: str) -> None:
    target = on_postgres(postgres_database)
    schema = target["schema"]
    rows: dict[str, tuple[str, Expected]] = {}
    for state, failure in SQLSTATES.items():
        call = f"select {schema}.fails_first('s_{state}_$times', $times, '{state}') as call"
        for times in (1, ALWAYS):
            name = f"s_{state}_{times}"
            sql = call.replace("$times", str(times))
            rows[name] = (sql, expected(failure, times))
    calls = f"nextval('{schema}.calls_$name')"
    rows |= {
        # twice is as often as a transient failure may happen, and once too often for a time-out
        "twice_40001": (f"select {schema}.fails_first('twice_40001', 2, '40001') as call", expected(T, 2)),
        "twice_57014": (f"select {schema}.fails_first('twice_57014', 2, '57014') as call", expected(O, 2)),
        "in_a_hook": (
            f'{{{{ config(pre_hook="do $$ begin perform {schema}.fails_first(\'in_a_hook\', 1, '
            "'40P01'); end $$\") }} select 1 as id",
            expected(T, 1),
        ),
        # a real time-out, a real end of the connection, a lock that somebody really holds
        "slow": (
            "{{ config(pre_hook='set local statement_timeout = 100') }} select 1 as id from "
            f"pg_sleep(case {calls} when 1 then 30 else 0 end)",
            expected(O, 1),
        ),
        "terminated": (
            f"select case {calls} when 1 then pg_terminate_backend(pg_backend_pid()) end as id",
            expected(T, 1),
        ),
        "locked_out": (
            "{{ config(pre_hook='set local lock_timeout = 50') }} select id from "
            f"{schema}.locked",
            expected(T, 1),
        ),
        "no_permission": (
            "{{ config(pre_hook='set local role pg_monitor') }} select 1 as id",
            expected(C, ALWAYS),
        ),
        "null_in_contract": ("select cast(null as integer) as id", expected(D, ALWAYS)),
        "no_division": ("select 1 / (random() * 0)::int as id", expected(D, ALWAYS)),
        "no_table": ("select * from nowhere", expected(C, ALWAYS)),
        "no_column": ("select nothing from (select 1 as id) as one", expected(C, ALWAYS)),
        "no_sql": ("selct 1", expected(C, ALWAYS)),
        "no_macro": ("select {{ nothing.at.all }}", expected(C, ALWAYS)),
    }  # fmt: skip
    shop = Shop(
        tmp_path / "shop",
        {
            **{f"models/{name}.sql": sql.replace("$name", name) for name, (sql, _) in rows.items()},
            "models/models.yml": CONTRACT,
        },
        project="models: {shop: {+materialized: table}}",
        target=target,
        threads=4,
    )
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(_FUNCTIONS.replace("$schema", schema))
        for name in rows:
            connection.execute(f'create sequence {schema}."calls_{name}"')

    with psycopg.connect(postgres_database) as holder, session(shop, each=DEFAULT) as found:
        holder.execute(f"lock table {schema}.locked in access exclusive mode")
        found.when("locked_out", State.UP_FOR_RETRY, holder.rollback)
        found.drive()

    assert _came_of(found, rows) == {name: wanted for name, (_, wanted) in rows.items()}
    assert "40001, failure 3" in found.outcome("s_40001_1000").message
    assert found.outcome("s_40001_1000").details["status"] == "error"
    last = found.log("s_40001_1000", 3).splitlines()[-1]
    assert last.endswith(
        "evidence: exception dbt_common.exceptions.base.DbtDatabaseError; "
        "from exception psycopg2.errors.SerializationFailure, sqlstate 40001"
    )
    assert shop.query("select call from s_40001_1") == [(2,)]
    assert invalid(shop.dir / "target") == []


CONTRACT = """
    models:
      - name: null_in_contract
        config: {contract: {enforced: true}}
        columns: [{name: id, data_type: integer, constraints: [{type: not_null}]}]
"""

#: Lines of a Python model that fail, each time.
FAILING = {
    "conflict": (
        """
        import duckdb
        own = duckdb.connect()
        own.execute("create table t as select 1 as i")
        first, second = own.cursor(), own.cursor()
        first.begin(), second.begin()
        first.execute("update t set i = 2")
        second.execute("update t set i = 3")
        """,
        T,  # TransactionException
    ),
    "out_of_memory": (
        """
        import duckdb
        own = duckdb.connect(config={"memory_limit": "20MB", "temp_directory": ""})
        own.sql("select list(range) from range(50000000)").fetchall()
        """,
        T,  # OutOfMemoryException
    ),
    "reset": ("raise ConnectionResetError('by peer')", T),
    "no_answer": ("raise TimeoutError('no answer')", T),
    "unavailable": (
        """
        import urllib.error
        raise urllib.error.HTTPError("http://x", 503, "later", {}, None)
        """,
        T,
    ),
    "gone": (
        """
        import urllib.error
        raise urllib.error.HTTPError("http://x", 410, "gone", {}, None)
        """,
        C,
    ),
    "no_package": ("import nothing_here", C),
    "type_error": ("1 + 'one'", C),
    "value_error": ("raise ValueError('what?')", U),
}

#: Fails so many times, which it knows from a file of its own.
_MODEL = """\
from pathlib import Path

def model(dbt, session):
    counter = Path({counter!r})
    call = int(counter.read_text()) if counter.exists() else 1
    counter.write_text(str(call + 1))
    if call <= {times}:
{lines}
    return session.sql("select 1 as id")
"""


def test_errors_of_duckdb(tmp_path: Path) -> None:
    in_sql = {
        "no_table": ("select * from nowhere", C),  # CatalogException
        "no_column": ("select nothing from (select 1 as id) as one", C),  # BinderException
        "no_sql": ("selct 1", C),  # ParserException
        "no_schema": ("select * from nowhere.at_all", C),
        "no_function": ("select nothing(1)", C),
        "no_cast": ("select cast('x' as integer) as id", D),  # ConversionException
        "too_large": ("select 2147483647::integer + range::integer as i from range(2)", D),
        "null_in_contract": ("select cast(null as integer) as id", D),  # ConstraintException
        "raised": ("select error('as asked') as id", D),  # InvalidInputException
        "no_file": ("select * from read_csv('nothing.csv')", U),  # it may come yet
        "no_macro": ("select {{ nothing.at.all }}", C),
    }
    rows = {name: expected(failure, ALWAYS) for name, (_, failure) in in_sql.items()}
    files = {f"models/{name}.sql": sql for name, (sql, _) in in_sql.items()}
    for name, (lines, failure) in FAILING.items():
        for times in (1, ALWAYS):
            own = f"{name}_{times}"
            rows[own] = expected(failure, times)
            files[f"models/{own}.py"] = _MODEL.format(
                counter=str(tmp_path / f"{own}.count"),
                times=times,
                lines=textwrap.indent(textwrap.dedent(lines), " " * 8),
            )
    files["models/file_in_use.sql"] = (
        "{{ config(pre_hook=\"attach if not exists '"
        f"{tmp_path / 'other.duckdb'}' as other\") }}}} select * from other.t"
    )
    rows["file_in_use"] = expected(T, 1)
    shop = Shop(
        tmp_path / "shop",
        {**files, "models/models.yml": CONTRACT},
        project="models: {shop: {+materialized: table}}",
        threads=4,
    )

    with _holding(tmp_path / "other.duckdb") as holder, session(shop, each=DEFAULT) as found:
        found.when("file_in_use", State.UP_FOR_RETRY, lambda: (holder.kill(), holder.wait()))
        found.drive()

    assert _came_of(found, rows) == rows
    assert "lock on file" in found.outcomes("file_in_use")[0].message
    assert "ValueError: what?" in found.outcome("value_error_1000").message
    assert invalid(shop.dir / "target") == []


def _holding(file: Path) -> subprocess.Popen[str]:
    """A process that has a DuckDB file with a table t open, and so nobody else."""
    code = (
        "import duckdb, sys, time; own = duckdb.connect(sys.argv[1]); "
        "own.execute('create table t as select 1 as id'); print('ready', flush=True); "
        "time.sleep(600)"
    )
    args = [sys.executable, "-c", code, str(file)]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _came_of(found: Session, rows: Iterable[str]) -> dict[str, Expected]:
    """The first failure's class, tries and final state of each model."""
    came = {}
    for name in rows:
        outcomes = found.outcomes(name)
        assert outcomes[0].failure_class is not None, (name, outcomes)
        came[name] = Expected(outcomes[0].failure_class, len(outcomes), found.states[name])
    return came


# ------------------------------------------------------------ what a user says


def _python(lines: str) -> str:
    body = textwrap.indent(textwrap.dedent(lines), "    ")
    return f"def model(dbt, session):\n{body}\n    return session.sql('select 1 as id')\n"


def test_rules_of_the_user_and_retry_after_reach_dbts_nodes(tmp_path: Path) -> None:
    asked = """\
        import urllib.error
        raise urllib.error.HTTPError("http://x", 429, "slow down", {"Retry-After": "7"}, None)
    """
    odd = "raise ValueError('lake is frozen')"
    shop = Shop(
        tmp_path / "shop", {"models/odd.py": _python(odd), "models/asked.py": _python(asked)}
    )
    rule = Rule(failure_class=T, exception=("ValueError",), message="lake is (busy|frozen)")

    once = {"asked": Settings(retries=0)}
    found = driven(shop, each=DEFAULT, settings=once, failure_classes=(rule,))

    assert _came_of(found, ["odd", "asked"]) == {
        "odd": Expected(T, 3, "failed"),
        "asked": Expected(T, 1, "failed"),
    }
    assert found.outcome("asked").retry_after == 7.0


def test_failures_that_block_nothing(tmp_path: Path) -> None:
    shop = Shop(
        tmp_path / "shop",
        {
            # dbt 1.12 reads on_error, and earlier versions keep it in the manifest all the same
            "models/broken.sql": "{{ config(on_error='continue') }} select nothing",
            "models/after_broken.sql": "-- depends_on: {{ ref('broken') }}\nselect 1 as id",
            "models/nulls.sql": "select cast(null as integer) as id",
            "models/after_nulls.sql": "select * from {{ ref('nulls') }}",
            "models/blocked.sql": "select * from {{ ref('after_nulls') }}",
            "models/models.yml": """
                models:
                  - name: nulls
                    columns: [{name: id, data_tests: [{not_null: {name: forgiven}}]}]
                  - name: after_nulls
                    columns: [{name: id, data_tests: [{not_null: {name: strict}}]}]
            """,
        },
    )
    with session(shop, each=Settings(retries=0)) as found:
        found.open()
        plan = found.planned.plan
        forgiven = next(id for id in plan.graph.nodes if ".forgiven." in id)
        policy = replace(plan.policy(forgiven), on_failure=OnFailure.CONTINUE)
        found.run.plan.policies[forgiven] = policy  # type: ignore[index]
        found.drive()

    states = {
        id.split(".")[2] if id.startswith("test.") else id: s for id, s in found.states.items()
    }
    assert {
        name: states[name] for name in ("broken", "after_broken", "forgiven", "after_nulls")
    } == {
        "broken": "failed",
        "after_broken": "success",
        "forgiven": "failed",
        "after_nulls": "success",
    }
    assert (states["strict"], states["blocked"]) == ("failed", "upstream_failed")
    statuses = {id.split(".")[2]: status for id, (status, _) in shop.results().items()}
    assert statuses["after_broken"] == statuses["after_nulls"] == "success"
    assert (statuses["broken"], statuses["blocked"]) == ("error", "skipped")
    assert invalid(shop.dir / "target") == []


def test_a_warehouse_that_is_down_is_probed_by_one_node(
    tmp_path: Path, postgres_database: str
) -> None:
    target = on_postgres(postgres_database)
    schema = target["schema"]
    names = [f"m{number}" for number in range(12)]
    sql = f"select {schema}.asks() as id"
    shop = Shop(
        tmp_path / "shop",
        {f"models/{name}.sql": sql for name in names},
        project="models: {shop: {+materialized: table}}",
        target=target,
        threads=2,
    )
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(_DOWN.replace("$schema", schema))

    # down for eight calls: three nodes open the circuit, one more may be under way, then probes
    each = Settings(retry_on={T: 10}, retry_delay=3)
    found = driven(shop, each=each, breaker=Breaker(failures=3, window=600, pause=0.3))

    assert {found.states[name] for name in names} == {"success"}
    failures = [c for c in found.changes if c.outcome is not None and c.outcome.failure_class is T]
    assert len(failures) == 8
    probes = [change.at for change in failures[4:]]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(probes)]
    assert all(gap >= 0.3 for gap in gaps)


_DOWN = """
    create schema $schema;
    create sequence $schema.calls;
    create function $schema.asks() returns int language plpgsql as $$
    begin
        if nextval('$schema.calls') <= 8 then
            raise exception using errcode = '57P03', message = 'not now';
        end if;
        return 1;
    end $$;
"""
