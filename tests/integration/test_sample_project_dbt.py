"""The sample project by itself: its steps called by hand, then plain dbt. dbtorch is not involved."""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_project"

#: What a checkout does not have.
GENERATED = shutil.ignore_patterns(
    "target", "logs", "exports", ".dbtorch", "__pycache__", "*.duckdb*", ".user.yml"
)

INGESTION = ("orders", "customers", "payments", "web_events", "exchange_rates")
TABLES = ("orders", "order_items", "customers", "payments", "web_events", "exchange_rates")


@dataclass(kw_only=True)
class Shop:
    """A copy of the sample project and the warehouse it builds in."""

    dir: Path
    target: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)

    def run(self, step: str, *, attempt: int = 1, **params: Any) -> dict[str, Any]:
        """Call a step's function the way a step runner does."""
        module, function = step.split(":")
        date = datetime(2026, 1, 12, tzinfo=UTC)
        context = SimpleNamespace(
            run_id="by-hand",
            attempt=attempt,
            logical_date=date,
            data_interval_start=date,
            data_interval_end=date,
            project_dir=self.dir,
            target=self.target,
            params=params,
            vars={},
            outputs={},
            idempotency_key=f"by-hand/{step}",
        )
        output = getattr(importlib.import_module(module), function)(context)
        assert json.loads(json.dumps(output)) == output
        return output

    def ingest(self) -> dict[str, dict[str, int]]:
        return {name: self.run(f"ingestion.{name}:load") for name in INGESTION}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        warehouse = importlib.import_module("ingestion.warehouse")
        context = SimpleNamespace(target=self.target, project_dir=self.dir)
        with warehouse.connect(context, read_only=True) as connection:
            return connection.fetch(sql)[1]

    def write(self, sql: str) -> None:
        warehouse = importlib.import_module("ingestion.warehouse")
        context = SimpleNamespace(target=self.target, project_dir=self.dir)
        with warehouse.connect(context) as connection:
            connection.execute(sql)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return sorted(self.query(f"select * from raw.{table}"), key=repr)

    def dbt(self, *args: str) -> str:
        """Run dbt in the project, as the README of any dbt project says; answer what it printed."""
        where = ["--profiles-dir", "../profiles", "--target", self.target["name"]]
        done = subprocess.run(
            [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *args, *where],
            cwd=self.dir,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def results(self) -> dict[str, str]:
        """Status by unique id, of the last dbt invocation."""
        found = json.loads((self.dir / "target" / "run_results.json").read_text())
        return {result["unique_id"]: result["status"] for result in found["results"]}


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh checkout. The steps' code is imported from the real one: it is the same code."""
    monkeypatch.syspath_prepend(str(SAMPLE))
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample_project", ignore=GENERATED))


@pytest.fixture
def on_duckdb(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.delenv("SHOP_DUCKDB", raising=False)
    target = {
        "name": "dev",
        "type": "duckdb",
        "database": "warehouse",
        "schema": "shop",
        "path": "warehouse.duckdb",
    }
    return Shop(dir=copy, target=target)


@pytest.fixture
def on_postgres(
    copy: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    database = f"shop_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"create database {database}")
    conninfo = conninfo_to_dict(make_conninfo(postgres_server, dbname=database))
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    env = {name: str(conninfo[key]) for key, name in names.items() if key in conninfo}
    env["PGDATABASE"] = database
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    target = {"name": "postgres", "type": "postgres", "database": database, "schema": "shop"}
    yield Shop(dir=copy, target=target, env=env)
    with psycopg.connect(postgres_server, autocommit=True) as server:
        server.execute(f"drop database {database} with (force)")


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest) -> Shop:
    return request.getfixturevalue(f"on_{request.param}")


def delivered(table: str) -> int:
    """Rows in the files of a feed, counted without any of the project's code."""
    files = (SAMPLE / "landing" / table).iterdir()
    return sum(
        len(file.read_text().splitlines()) - (file.suffix == ".csv")  # the header
        for file in files
    )


def contents(shop: Shop, table: str) -> list[tuple[Any, ...]]:
    """Rows of a table but for when they were loaded, which is its last column."""
    return [row[:-1] for row in shop.rows(table)]


def newest_customers() -> dict[str, str]:
    """The time of each customer's newest version, read without any of the project's code."""
    found: dict[str, str] = {}
    for file in (SAMPLE / "landing" / "customers").iterdir():
        for row in csv.DictReader(file.read_text().splitlines()):
            id, at = row["customer_id"], row["updated_at"]
            found[id] = max(at, found.get(id, ""))
    return found


def test_every_delivered_row_lands_once(shop: Shop) -> None:
    outputs = shop.ingest()

    for table in TABLES:
        landed = delivered(table) if table != "customers" else len(newest_customers())
        assert len(shop.rows(table)) == landed, table
    assert sum(output["rows"] for output in outputs.values()) == sum(map(delivered, TABLES))
    assert shop.query("select count(*) from raw.orders where _file is null") == [(0,)]


def test_a_second_load_lands_nothing_and_still_counts_as_a_look(shop: Shop) -> None:
    first = shop.ingest()
    before = {table: shop.rows(table) for table in TABLES}
    [(checked,)] = shop.query("select min(checked_at) from raw._loads")

    second = shop.ingest()

    for name in INGESTION:
        assert second[name] == {"rows": 0, "files": 0, "unchanged": first[name]["files"]}
    assert {table: shop.rows(table) for table in TABLES} == before
    [(checked_again,)] = shop.query("select min(checked_at) from raw._loads")
    assert checked_again > checked


def test_a_load_that_knows_nothing_of_the_first_lands_nothing_twice(shop: Shop) -> None:
    shop.ingest()
    before = {table: contents(shop, table) for table in TABLES}
    shop.write("delete from raw._loads")

    again = shop.ingest()

    assert all(output["files"] > 0 for output in again.values())
    assert {table: contents(shop, table) for table in TABLES} == before


def test_merging_keeps_the_newest_version_in_whatever_order_deliveries_come(shop: Shop) -> None:
    landing = shop.dir / "landing" / "customers"
    late = shop.dir / "late"
    shutil.copytree(landing, late)
    for name in (
        "customers_2026-01-02.csv",
        "customers_2025-12-01.csv",
        "customers_2025-11-02.csv",
    ):
        shutil.rmtree(landing)
        landing.mkdir()
        shutil.copy(late / name, landing)
        shop.run("ingestion.customers:load")

    merged = dict(shop.query("select customer_id, updated_at from raw.customers"))
    assert merged == newest_customers()


WRONG_SNAPSHOTS = [
    ("", "has 0 rows"),  # nothing was delivered
    # a rate that is there twice
    ('{"rate_date": "2026-01-02", "base_currency": "EUR", "currency": "CHF", "rate": 1}\n' * 2,
     "has 2 rows for 1 different"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), WRONG_SNAPSHOTS)
def test_a_wrong_snapshot_is_not_swapped_in(shop: Shop, content: str, message: str) -> None:
    shop.run("ingestion.exchange_rates:load")
    before = shop.rows("exchange_rates")
    landing = shop.dir / "landing" / "exchange_rates"
    shutil.rmtree(landing)
    landing.mkdir()
    (landing / "exchange_rates_2026-01.jsonl").write_text(content)

    with pytest.raises(ValueError, match=message):
        shop.run("ingestion.exchange_rates:load")

    assert shop.rows("exchange_rates") == before


def test_a_snapshot_that_is_back_is_swapped_in_again(shop: Shop) -> None:
    shop.run("ingestion.exchange_rates:load")
    before = contents(shop, "exchange_rates")
    file = shop.dir / "landing" / "exchange_rates" / "exchange_rates_2025-11.jsonl"
    file.rename(shop.dir / file.name)
    assert shop.run("ingestion.exchange_rates:load")["rows"] < len(before)

    (shop.dir / file.name).rename(file)
    assert shop.run("ingestion.exchange_rates:load")["rows"] == len(before)

    assert contents(shop, "exchange_rates") == before


#: For each number that it reads, loads one feed in a process that dies without a word before the
#: statement with that number, and writes how it ended.
_DYING = """
import importlib, json, os, pathlib, sys, traceback, types
name, target = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, "")
from ingestion.warehouse import Warehouse
feed = importlib.import_module(f"ingestion.{name}")
importlib.import_module("duckdb" if target["type"] == "duckdb" else "psycopg2")
context = types.SimpleNamespace(
    project_dir=pathlib.Path.cwd(), params={}, attempt=1, run_id="dying", target=target
)
execute, count = Warehouse.execute, 0
def load_until(last):
    def dying(self, *args):
        global count
        count += 1
        if count == last:
            os._exit(9)
        execute(self, *args)
    Warehouse.execute = dying
    sys.stdout = sys.stderr
    feed.load(context)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            load_until(int(line))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web_events", "customers", "exchange_rates"])
def test_a_load_may_be_killed_before_any_statement(shop: Shop, name: str) -> None:
    for file in sorted((shop.dir / "landing" / name).iterdir())[2:]:
        file.unlink()
    shop.run(f"ingestion.{name}:load")
    whole = landed_and_dropped(shop, name)

    with subprocess.Popen(
        [sys.executable, "-c", _DYING, name, json.dumps(shop.target)],
        cwd=shop.dir,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as loads:
        assert loads.stdin is not None
        assert loads.stdout is not None
        for last in range(1, 100):
            loads.stdin.write(f"{last}\n")
            loads.stdin.flush()
            died = loads.stdout.readline().strip()
            assert died in ("0", "9")
            shop.run(f"ingestion.{name}:load")
            assert landed_and_dropped(shop, name) == whole, f"killed before statement {last}"
            if died == "0":
                break
        loads.stdin.close()
    assert 10 < last < 99


def landed_and_dropped(shop: Shop, name: str) -> list[tuple[Any, ...]]:
    """Rows of a feed but for when they were loaded; nothing else has landed, and then nothing has."""
    warehouse = importlib.import_module("ingestion.warehouse")
    context = SimpleNamespace(target=shop.target, project_dir=shop.dir)
    with warehouse.connect(context) as connection:
        tables = "select table_name from information_schema.tables where table_schema = 'raw'"
        assert set(connection.fetch(tables)[1]) == {("_loads",), (name,)}
        rows = connection.fetch(f"select * from raw.{name}")[1]
        connection.execute("drop schema raw cascade")
    return sorted((row[:-1] for row in rows), key=repr)


def test_a_changed_file_replaces_its_rows_and_no_others(shop: Shop) -> None:
    shop.run("ingestion.orders:load")
    others = shop.query("select * from raw.orders where _file <> 'orders/orders_2025-12.csv'")
    file = shop.dir / "landing" / "orders" / "orders_2025-12.csv"
    header, first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([header, first.replace("delivered", "returned"), *rest[:9]]) + "\n")

    assert shop.run("ingestion.orders:load") == {"rows": 10, "files": 1, "unchanged": 5}

    landed = "select count(*) from raw.orders where _file = 'orders/orders_2025-12.csv'"
    assert shop.query(landed) == [(10,)]
    now = shop.query("select * from raw.orders where _file <> 'orders/orders_2025-12.csv'")
    assert sorted(now) == sorted(others)
    ledger = "select row_count from raw._loads where file = 'orders/orders_2025-12.csv'"
    assert shop.query(ledger) == [(10,)]


BROKEN = [
    # content of the file, what the error says
    ("payment_id,note\nP1,hello\n", "broken.csv:2 has unknown columns note"),
    ("payment_id\nP1\n", "broken.csv:2 lacks the columns order_id, payment_type"),
    ("payment_id,order_id\nP1\n", "broken.csv:2 has too few values"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_file_is_named_and_lands_nothing(
    on_duckdb: Shop, content: str, message: str
) -> None:
    on_duckdb.run("ingestion.payments:load")
    before = on_duckdb.rows("payments")
    (on_duckdb.dir / "landing" / "payments" / "broken.csv").write_text(content)

    with pytest.raises(ValueError, match=message):
        on_duckdb.run("ingestion.payments:load")

    assert on_duckdb.rows("payments") == before


def test_the_rates_service_turns_the_first_caller_away(on_duckdb: Shop) -> None:
    with pytest.raises(ConnectionError, match="429"):
        on_duckdb.run("ingestion.exchange_rates:load", attempt=1, rate_limited=True)

    output = on_duckdb.run("ingestion.exchange_rates:load", attempt=2, rate_limited=True)
    assert output["rows"] == delivered("exchange_rates")


@pytest.mark.postgres
def test_steps_may_start_at_the_same_moment_on_a_new_database(on_postgres: Shop) -> None:
    steps = [f"ingestion.{name}:load" for name in INGESTION]
    with ThreadPoolExecutor(len(steps)) as pool:
        outputs = list(pool.map(on_postgres.run, steps))
    assert all(output["rows"] > 0 for output in outputs)


def test_what_dbtorch_yml_names_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SAMPLE))
    steps = yaml.safe_load((SAMPLE / "dbtorch.yml").read_text())["steps"]
    for name, step in steps.items():
        if "runbook" in step:
            assert (SAMPLE / step["runbook"]).is_file(), name
        if "python" in step:
            module, function = step["python"].split(":")
            assert callable(getattr(importlib.import_module(module), function)), name


@pytest.mark.slow
def test_dbt_builds_everything_twice_and_a_corrected_order_reaches_the_marts(shop: Shop) -> None:
    for again in (False, True):
        if again:
            order_id = cancel_last_order(shop)
        shop.ingest()
        printed = shop.dbt("build", "--show-all-deprecations")
        assert " ERROR=0 SKIP=0 " in printed
        assert "eprecat" not in printed
        warned = [id for id, status in shop.results().items() if status == "warn"]
        assert len(warned) == 2  # customers without e-mail, delivered orders that nobody paid

    status = f"select status from shop.fct_orders where order_id = '{order_id}'"
    assert shop.query(status) == [("cancelled",)]
    weeks = shop.query("select count(*) from shop.fct_weekly_kpis")
    assert weeks == [(10,)]
    events = shop.query("select count(*) from shop.fct_web_events")
    assert events == [(delivered("web_events"),)]

    freshness = shop.dbt("source", "freshness")
    assert "WARN" not in freshness
    assert freshness.count("PASS freshness") == len(TABLES)

    output = shop.run("downstream.weekly_kpis:export")
    assert output == {"rows": 10, "file": "exports/2026-01-12/weekly_kpis.csv"}
    exported = (shop.dir / str(output["file"])).read_text().splitlines()
    assert exported[0].startswith("week_start_date,order_count,")
    assert len(exported) == 11


def cancel_last_order(shop: Shop) -> str:
    """Deliver the newest orders once more, one of them with another status; answers which."""
    file = shop.dir / "landing" / "orders" / "orders_2026-01.csv"
    *lines, last = file.read_text().splitlines()
    order_id, _, _, status, *_ = last.split(",")
    file.write_text("\n".join([*lines, last.replace(status, "cancelled")]) + "\n")
    return order_id
