"""`dbtorch check-idempotent`: good and bad nodes, and a real warehouse that nobody touches."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.acceptance.conftest import PARTIAL_PARSE
from tests.acceptance.workspace import DBT, Done, Workspace, eventually
from tests.postgres import with_database

pytestmark = pytest.mark.slow

#: Steps that write to dbt's target, on DuckDB and on Postgres, each in its own way.
STEPS = """
    import os
    from contextlib import contextmanager

    import duckdb
    import psycopg2


    @contextmanager
    def opened(target):
        if target["type"] == "duckdb":
            connection = duckdb.connect(target["path"])
        else:
            connection = psycopg2.connect(dbname=target["database"])  # the rest is in PG*
            connection.autocommit = True
        yield connection.cursor(), target["schema"] + "_raw"
        connection.close()


    def overwrite(context):
        with opened(context.target) as (cursor, schema):
            cursor.execute(f"create schema if not exists {schema}")
            cursor.execute(f"drop table if exists {schema}.good")
            cursor.execute(
                f"create table {schema}.good as select 1 as id, '{context.idempotency_key}' as k, "
                f"'{context.run_id}' as _dbt_run_id, clock() as _loaded_at".replace(
                    "clock()", "now()" if context.target["type"] == "duckdb" else "clock_timestamp()"
                )
            )


    def append(context):
        with opened(context.target) as (cursor, schema):
            cursor.execute(f"create schema if not exists {schema}")
            cursor.execute(f"create table if not exists {schema}.bad (id integer)")
            cursor.execute(f"insert into {schema}.bad values (1), (2)")


    def nothing(context):
        pass


    def second_time(context):
        append(context)
        with opened(context.target) as (cursor, schema):
            cursor.execute(f"select count(*) from {schema}.bad")
            if cursor.fetchall()[0][0] > 2:
                raise ValueError("there is something already")


    def elsewhere(context):
        with duckdb.connect("warehouse.duckdb") as connection:
            connection.execute("create table if not exists oops (id integer)")


    def flaky(context):
        with open(os.environ["KEYS"], "a") as file:
            file.write(f"{context.idempotency_key} {context.logical_date.isoformat()}\\n")
        if context.attempt == 1:
            raise ConnectionError("not yet")
        overwrite(context)
"""

CONFIG = """
    version: 1
    steps:
      overwrite: {python: "steps:overwrite", produces: "source:raw.good"}
      append: {python: "steps:append", produces: "source:raw.bad"}
      append_silently: {python: "steps:append"}
      second_time: {python: "steps:second_time"}
      absent: {python: "steps:nothing", produces: "source:raw.absent"}
      elsewhere: {python: "steps:elsewhere", retries: 0}
      flaky: {python: "steps:flaky", retries: 1, retry_delay: 0}
"""

FILES = {
    "dbtorch.yml": CONFIG,
    "steps.py": STEPS,
    "models/sources.yml": """
        version: 2
        sources:
          - name: raw
            schema: "{{ target.schema }}_raw"
            tables: [{name: good}, {name: bad}, {name: absent}, {name: counted}]
    """,
    "models/base.sql": "select 1 as id, 'a' as name union all select 2, 'b'",
    "models/between.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('base') }}",
    "models/good_table.sql": """
        {{ config(materialized='table') }}
        select *, '{{ invocation_id }}' as _dbt_invocation_id from {{ ref('between') }}
    """,
    "models/good_merge.sql": """
        {{ config(materialized='incremental', unique_key='id', incremental_strategy='delete+insert') }}
        select * from {{ ref('base') }}
    """,
    "models/bad_append.sql": """
        {{ config(materialized='incremental') }}
        select * from {{ ref('base') }}
    """,
    "models/bad_clock.sql": """
        {{ config(materialized='table') }}
        select *, current_timestamp as built_at, '{{ run_started_at }}' as started_at, random() as dice
        from {{ ref('base') }}
    """,
    "seeds/countries.csv": "code\nDE\n",
    "snapshots/versions.yml": """
        snapshots:
          - name: versions
            relation: ref('base')
            config: {strategy: check, unique_key: id, check_cols: all}
    """,
}

PROFILES = """
    shop:
      target: dev
      outputs:
        dev: {type: duckdb, path: warehouse.duckdb, schema: shop, threads: 2}
        memory: {type: duckdb, path: ":memory:", threads: 1}
        server:
          type: postgres
          host: "{{ env_var('PGHOST', 'localhost') }}"
          port: "{{ env_var('PGPORT', '5432') | as_number }}"
          user: "{{ env_var('PGUSER', 'postgres') }}"
          password: "{{ env_var('PGPASSWORD', '') }}"
          dbname: "{{ env_var('PGDATABASE', 'shop') }}"
          schema: shop
          threads: 2
"""


class Shop(Workspace):
    """A project with good and bad nodes, and a warehouse to be left alone."""

    place = "a copy of warehouse.duckdb"

    def check(self, *args: str, code: int, **kwargs: Any) -> Done:
        """Run the check; the warehouse, the history and the disk are as they were."""
        before, files = self.state(), self.listing()
        done = self.dbtorch("check-idempotent", *args, code=code, **kwargs)
        assert self.state() == before, "the real warehouse was touched"
        assert self.listing() == files
        assert self.is_quiet()
        return done

    def state(self) -> object:
        """Everything that is in the warehouse."""
        real = self.dir / "warehouse.duckdb"
        return hashlib.sha256(real.read_bytes()).hexdigest() if real.exists() else None

    def listing(self) -> set[str]:
        """Every file of the project, and what is left among temporary ones."""
        scratch = {str(path) for path in self.temporary.iterdir()}
        files = {str(path) for path in self.dir.rglob("*") if path.name != "__pycache__"}
        return files | scratch

    @property
    def temporary(self) -> Path:
        folder = self.home / "tmp"
        folder.mkdir(exist_ok=True)
        self.env["TMPDIR"] = str(folder)
        return folder


class OnServer(Shop):
    """The same on Postgres."""

    place = "the scratch schema dbtorch_check_"
    url = ""

    def state(self) -> object:
        with psycopg.connect(self.url) as connection:
            tables = connection.execute(
                "select schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del "
                "from pg_stat_user_tables order by 1, 2"
            ).fetchall()
            schemas = connection.execute("select nspname from pg_namespace order by 1").fetchall()
            views = connection.execute(
                "select schemaname, viewname, definition from pg_views order by 1, 2"
            ).fetchall()
        own = [name for (name,) in schemas if not name.startswith("pg_")]
        assert not [name for name in own if name.startswith("dbtorch_check_")], own
        rows = {f"{row[0]}.{row[1]}": self.rows(row[0], row[1]) for row in tables}
        return own, rows, views

    def rows(self, schema: str, table: str) -> object:
        with psycopg.connect(self.url) as connection:
            return connection.execute(f'select * from "{schema}"."{table}"').fetchall()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def parsed_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What dbt keeps of a parse of the project."""
    shop = Shop(tmp_path_factory.mktemp("parsed") / "shop", FILES)
    shop.write({"profiles.yml": PROFILES})
    environ = shop.environ()
    subprocess.run([*DBT, "parse"], cwd=shop.dir, env=environ, check=True, capture_output=True)
    return shop.dir / PARTIAL_PARSE


@pytest.fixture
def shop(tmp_path: Path, parsed_shop: Path) -> Shop:
    """On DuckDB, with `base` built, and something that ingestion left before."""
    shop = Shop(tmp_path / "shop", FILES)
    shop.write({"profiles.yml": PROFILES})
    (shop.dir / PARTIAL_PARSE).parent.mkdir()
    shutil.copy(parsed_shop, shop.dir / PARTIAL_PARSE)
    with duckdb.connect(str(shop.dir / "warehouse.duckdb")) as connection:
        for statement in (
            "create schema shop",
            "create schema shop_raw",
            "create view shop.base as select 1 as id, 'a' as name union all select 2, 'b'",
            "create table shop_raw.counted as select 1 as id",
            "create table shop_raw.bad as select 7 as id",
        ):
            connection.execute(statement)
    return shop


@pytest.fixture
def server(tmp_path: Path, postgres_server: str) -> Iterator[OnServer]:
    """On Postgres, in a database of its own."""
    shop = OnServer(tmp_path / "shop", FILES)
    shop.write({"profiles.yml": PROFILES})
    name = f"dbtorch_check_{uuid.uuid4().hex[:12]}"
    said = conninfo_to_dict(postgres_server)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    shop.env.update({names[key]: str(said[key]) for key in names if said.get(key)})
    shop.env.update({"PGDATABASE": name, "DBT_TARGET": "server"})
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"create database {name}")  # type: ignore[arg-type]
        shop.url = with_database(postgres_server, name)
        with psycopg.connect(shop.url, autocommit=True) as real:
            real.execute("create schema shop")
            real.execute("create schema shop_raw")
            real.execute("create table shop.base as select 1 as id, 'a' as name")
            real.execute("create table shop.bad_append as select 9 as id, 'z' as name")
            real.execute("create table shop_raw.counted as select 1 as id")
        yield shop
        connection.execute(f"drop database {name} with (force)")  # type: ignore[arg-type]


@pytest.fixture
def warehouse(request: pytest.FixtureRequest) -> Shop:
    found: Shop = request.getfixturevalue(request.param)
    return found


IDEMPOTENT = [
    # a model on a copy of the file; on the server snapshots and tables are, below
    ("shop", "good_merge"),
    # a step in a scratch schema; on a copy `flaky`, which is this one after its first try, is, below
    pytest.param("server", "overwrite", marks=pytest.mark.postgres),
]


@pytest.mark.parametrize(("warehouse", "name"), IDEMPOTENT, indirect=["warehouse"])
def test_what_is_idempotent(warehouse: Shop, name: str) -> None:
    done = warehouse.check(name, code=0)
    assert f"{name} is idempotent." in done.out
    assert f"twice on {warehouse.place}" in done.out


BAD = [
    # node, rows after the first and second run, what differs
    ("shop", "bad_append", ("2", "4"), "NO: rows doubled"),
    ("shop", "append", ("3", "5"), "NO: "),
    pytest.param(
        "server", "bad_append", ("1", "2"), "NO: rows doubled", marks=pytest.mark.postgres
    ),
]


@pytest.mark.parametrize(("warehouse", "name", "rows", "said"), BAD, indirect=["warehouse"])
def test_what_is_not(warehouse: Shop, name: str, rows: tuple[str, str], said: str) -> None:
    done = warehouse.check(name, code=1)
    (line,) = [line for line in done.out.splitlines() if said in line]
    assert tuple(line.split()[1:3]) == rows
    assert f"{name} is not idempotent: a second run changes " in done.out


def test_what_depends_on_the_time_of_a_run_is_found_and_may_be_left_out(shop: Shop) -> None:
    done = shop.check("bad_clock", "--format", "json", code=1)
    told = ("dbt reads the project", "the first time", "running bad_clock once more", "comparing")
    places = [done.err.find(text) for text in told]  # nobody waits without a word
    assert places == sorted(places)
    assert -1 not in places
    said = done.json()
    assert said["node"] == "model.shop.bad_clock"
    assert (said["idempotent"], said["failure"]) == (False, None)
    (relation,) = said["relations"]
    assert relation["relation"] == '"warehouse"."shop"."bad_clock"'
    assert (relation["rows_after_first"], relation["rows_after_second"]) == (2, 2)
    assert relation["hash_after_first"] != relation["hash_after_second"]
    assert (relation["same"], relation["columns"]) == (False, ["built_at", "dice", "started_at"])

    ignore = ("--ignore", "BUILT_*", "--ignore", "started_at", "--ignore", "dice")
    done = shop.check("bad_clock", *ignore, code=0)
    assert "Not compared: 3 columns of shop.bad_clock: built_at, started_at, dice" in done.out


def test_a_step_without_produces_answers_for_every_table_that_it_changes(shop: Shop) -> None:
    done = shop.check("append_silently", code=1)
    assert "not idempotent: a second run changes shop_raw.bad." in done.out
    assert "counted" not in done.out


def test_a_second_run_that_fails_is_told(shop: Shop) -> None:
    with duckdb.connect(str(shop.dir / "warehouse.duckdb")) as connection:
        connection.execute("delete from shop_raw.bad")
    done = shop.check("second_time", code=1)
    assert "its second run failed: ValueError: there is something already" in done.out


def test_a_step_that_opens_the_real_file_fails_and_does_not_write(shop: Shop) -> None:
    said = shop.check("elsewhere", code=2).err
    assert "elsewhere failed in its first run on a copy of warehouse.duckdb" in said
    assert "Could not set lock on file" in said


def test_a_step_that_makes_the_real_file_is_told_on(shop: Shop) -> None:
    (shop.dir / "warehouse.duckdb").unlink()
    said = shop.dbtorch("check-idempotent", "elsewhere", code=2).err
    assert "warehouse.duckdb and not to the copy, so it cannot be checked" in said


def test_a_step_that_does_not_write_where_it_is_told(server: OnServer) -> None:
    said = server.check("absent", code=2).err
    assert "absent ran, but" in said
    assert "DBTORCH_TARGET_SCHEMA" in said


def test_hooks_of_the_project_do_not_run_on_a_server(server: OnServer) -> None:
    file = server.dir / "dbt_project.yml"
    file.write_text(file.read_text() + 'on-run-start: "create table shop.started (id integer)"\n')
    assert "versions is idempotent." in server.check("versions", code=0).out
    done = server.check("good_table", code=0)
    assert "Not run: the project's on-run-start and on-run-end hooks" in done.out
    assert "Not compared: 1 column of " in done.out


def test_nothing_is_left_when_it_is_interrupted(server: OnServer) -> None:
    server.write(
        {
            "models/slow.sql": """
                {{ config(materialized='table') }} select 1 as id from pg_sleep(60)
            """
        }
    )
    before, files = server.state(), server.listing()
    with server.started("check-idempotent", "slow") as running:
        sleeping = "select count(*) from pg_stat_activity where query like '%from pg_sleep(60)%'"

        def is_sleeping() -> bool:
            with psycopg.connect(server.url) as connection:
                (count,) = connection.execute(sleeping + " and pid <> pg_backend_pid()").fetchone()  # type: ignore[misc]
            return bool(count)

        assert eventually(is_sleeping), running.out
        running.signal(signal.SIGINT)
        assert running.ended().code == 130
    assert server.state() == before
    assert server.listing() == files


def test_a_warehouse_that_is_not_there_yet_is_empty(shop: Shop) -> None:
    (shop.dir / "warehouse.duckdb").unlink()
    assert "countries is idempotent." in shop.check("countries", code=0).out


def test_a_step_is_tried_again_and_both_runs_have_the_key_of_the_real_one(shop: Shop) -> None:
    (shop.dir / "warehouse.duckdb").unlink()
    keys = shop.home / "keys"
    shop.env["KEYS"] = str(keys)
    done = shop.check("flaky", "--logical-date", "2026-01-12", code=0)
    assert "flaky is idempotent." in done.out
    (key,) = set(keys.read_text().splitlines())
    assert key.endswith(" 2026-01-12T00:00:00+00:00")
    assert len(keys.read_text().splitlines()) == 4  # two runs, each tried again once


def test_a_database_in_memory_cannot_be_copied(shop: Shop) -> None:
    assert "keeps its database in memory" in shop.check("base", "--target", "memory", code=2).err
