"""Batches of the process engine beside each other, on Postgres."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.test_process_engine import Shop
from tests.acceptance.workspace import Running, eventually
from tests.engines import PROCESS_1_11
from tests.sessions import on_postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

#: A model that stands still as long as somebody else has the lock of its number.
HELD = "{{{{ config(materialized='table') }}}} select {number} as id, pg_advisory_xact_lock({number})::text as held"

FILES = {
    "models/quick.sql": "select 1 as id",
    "models/slow.sql": "-- depends_on: {{ ref('quick') }}\n" + HELD.format(number=1),
    "models/after_slow.sql": "select id from {{ ref('slow') }}",
    "models/beside.sql": "-- {{ source('raw', 'landed') }}\n" + HELD.format(number=2),
    "models/after_beside.sql": "select id from {{ ref('beside') }}",
    "models/sources.yml": """
        sources: [{name: raw, schema: raw, tables: [{name: landed}]}]
        models: [{name: beside, columns: [{name: id, data_tests: [not_null]}]}]
    """,
    "land.sh": "until [ -f landed ]; do sleep 0.1; done",
}

CONFIG = """
defaults: {retry: {on: {transient: 1}, delay: 0.1s}}
steps:
  land: {command: [sh, land.sh], produces: [source:raw.landed]}
"""

SLOW, BESIDE = "model.shop.slow", "model.shop.beside"


@dataclass
class Server:
    """A Postgres with a lock for each slow model, which nobody gets until it is let go."""

    ask: Callable[[str], list[tuple[Any, ...]]]
    schema: str

    def hold(self, *numbers: int) -> None:
        for number in numbers:
            self.ask(f"select pg_advisory_lock({number})")

    def let_go(self, number: int) -> None:
        self.ask(f"select pg_advisory_unlock({number})")

    def waits_for(self) -> set[int]:
        """Locks that dbt's queries wait for at this moment."""
        found = self.ask("select objid from pg_locks where locktype = 'advisory' and not granted")
        return {int(number) for (number,) in found}


@pytest.fixture
def server(postgres_database: str) -> Iterator[Server]:
    with psycopg.connect(postgres_database, autocommit=True) as connection:

        def ask(sql: str) -> list[tuple[Any, ...]]:
            cursor = connection.execute(sql)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

        yield Server(ask, "")


@pytest.fixture
def shop(tmp_path: Path, parsed: Path, server: Server, postgres_database: str) -> Shop:
    """A project that dbt 1 builds on Postgres, in batches."""
    shop = Shop(tmp_path / "shop", driven=PROCESS_1_11)
    target = {**on_postgres(postgres_database), "threads": 3}
    server.schema = target["schema"]
    profiles = {"shop": {"target": "dev", "outputs": {"dev": target}}}
    shop.write({"profiles.yml": json.dumps(profiles), **FILES})
    shop.configure(CONFIG)
    return shop


#: With a hook everything is built in the project's shadow.
HOOKED = """
    name: shop
    profile: shop
    on-run-start: create table if not exists public.notes (what text)
"""


def both_at_work(shop: Shop, server: Server, run: Running) -> tuple[int, int]:
    """Wait until two dbts stand before their locks; answers them, the first one first."""
    run.wait_for_node(SLOW)
    (first,) = shop.dbts()
    shop.write({"landed": ""})
    run.wait_for_node(BESIDE)
    assert eventually(lambda: server.waits_for() == {1, 2})
    (second,) = set(shop.dbts()) - {first}
    return first, second


def test_what_becomes_ready_meanwhile_is_built_beside(shop: Shop, server: Server) -> None:
    server.hold(1, 2)
    with shop.started("run", "--log-format", "json") as run:
        first, second = both_at_work(shop, server, run)
        assert words_of(second)["--threads"] == "2"  # the first can use no more than one
        assert "--threads" not in words_of(first)
        target = Path(words_of(second)["--target-path"])
        assert target.is_relative_to(shop.dir / ".dbtorch")
        os.kill(second, signal.SIGKILL)
        run.wait_for_node(BESIDE, "up_for_retry")
        assert eventually(lambda: server.waits_for() == {1, 2})
        assert eventually(lambda: len(set(shop.dbts()) - {first, second}) == 1)
        server.let_go(2)
        run.wait_for_node("model.shop.after_beside", "success")
        assert first in shop.dbts()
        assert server.waits_for() == {1}
        server.let_go(1)
        assert run.ended().code == 0
    shown = shop.show()
    assert set(shown.states.values()) == {"success"}
    assert {name for name, tries in shown.tries.items() if tries != 1} == {"beside"}
    assert shown.nodes["beside"]["attempts"][0]["message"] == "dbt was ended by SIGKILL"
    built = {"quick", "slow", "after_slow", "beside", "after_beside", "not_null_beside_id"}
    assert [batch & built for batch in shop.batches()] == [
        {"quick", "slow", "after_slow"},
        {"beside", "after_beside", "not_null_beside_id"},
        {"beside", "after_beside", "not_null_beside_id"},
    ]
    results = shop.results()
    assert {id.split(".")[2] for id in results} == built
    assert set(results.values()) == {"success", "pass"}
    assert server.ask(f"select id from {server.schema}.after_slow") == [(1,)]
    assert server.ask(f"select id from {server.schema}.after_beside") == [(2,)]
    assert (shop.dir / "target" / "manifest.json").is_file()
    compiled = shop.dir / "target" / "compiled" / "shop" / "models"
    assert {path.stem for path in compiled.glob("*.sql")} == built - {"not_null_beside_id"}
    assert not target.exists()


def test_one_that_is_cancelled_leaves_the_other_alone(shop: Shop, server: Server) -> None:
    shop.write({"dbt_project.yml": HOOKED})
    server.hold(1, 2)
    with shop.started("run", "--log-format", "json") as run:
        first, _ = both_at_work(shop, server, run)
        shop.dbtorch("cancel", "latest", "beside")
        run.wait_for_node(BESIDE, "cancelled")
        assert eventually(lambda: shop.dbts() == [first])
        assert server.waits_for() == {1}
        server.let_go(1)
        run.ended()
    shown = shop.show()
    hook = "shop-on-run-start-0"
    assert shown.names("success") == {"quick", "slow", "after_slow", "land", hook}
    assert shown.names("cancelled") == {"beside", "after_beside", "not_null_beside_id"}
    assert set(shown.tries.values()) <= {0, 1}
    server.let_go(2)
    shop.dbtorch("retry")
    shown = shop.show()
    assert (shown.state, shown.tries["slow"]) == ("success", 1)
    assert shop.batches()[-1] == {"beside", "after_beside", "not_null_beside_id"}
    assert len(shop.results()) == 7


def words_of(pid: int) -> dict[str, str]:
    """Each word of a command line, and the one after it."""
    words = [os.fsdecode(word) for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    return dict(pairwise(words))
