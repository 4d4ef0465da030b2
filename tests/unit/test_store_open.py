"""Opening a store: where it is, whose it is, and what is said when it cannot be."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dbtorch.adapters.state_dir import make_state_dir
from dbtorch.adapters.store import migrator, open_store, rows, statements
from dbtorch.adapters.store.database import Database
from dbtorch.adapters.store.locations import sqlite_path
from dbtorch.adapters.store.postgres import PostgresDriver, without_password
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.adapters.store.sqlite import SqliteDriver
from dbtorch.core.errors import StoreError
from dbtorch.core.history.records import Action
from dbtorch.core.model.identity import Identity
from dbtorch.core.model.state import RunState
from tests.postgres import with_database, with_option
from tests.stores import NOON, a_node, a_run
from tests.waiting import PATIENCE

NEWEST = max(number for number, _ in migrator._migrations(migrator._FOLDER))


def refusal(url, project_dir, **given) -> str:
    with pytest.raises(StoreError) as refused:
        open_store(url, project_dir, **given)
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_the_history_is_beside_the_project_and_not_in_git(tmp_path):
    open_store(None, tmp_path).close()
    assert (tmp_path / ".dbtorch" / "dbtorch.db").is_file()
    assert (tmp_path / ".dbtorch" / ".gitignore").read_text() == "*\n"


def test_a_gitignore_that_is_there_stays(tmp_path):
    make_state_dir(tmp_path).joinpath(".gitignore").write_text("runs/\n")
    open_store(None, tmp_path).close()
    assert (tmp_path / ".dbtorch" / ".gitignore").read_text() == "runs/\n"


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///history.db", "project/history.db"),  # seen from the project
        ("sqlite:///a/b/history.db", "project/a/b/history.db"),  # folders are made
        ("sqlite:///../history.db", "history.db"),
        ("sqlite:///{root}/x y.db", "x y.db"),  # four slashes: from the root
    ],
)
def test_sqlite_urls_name_files(tmp_path, url, file):
    project = tmp_path / "project"
    project.mkdir()
    open_store(url.format(root=tmp_path), project).close()
    assert (tmp_path / file).is_file()
    assert not (tmp_path / file).parent.joinpath(".gitignore").exists()  # not our folder


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:secret@host/db", "begins with 'mysql'"),  # no such store
        ("history.db", "is no URL"),  # a path is no address
        ("postgres", "is no URL"),  # no address either
        ("postgresql+psycopg://me:secret@host/db", "begins with 'postgresql+psycopg'"),
        ("sqlite://", "needs three slashes"),
        ("sqlite://history.db", "needs three slashes"),
        ("sqlite:history.db", "needs three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "lost at once"),
        ("sqlite:///history.db?mode=ro", "options after the file"),
        ("postgresql://me:sec/ret@host/db", "cannot be read"),  # the password is not encoded
        ("postgresql://me:secret@host:port/db", "cannot be read"),
        ("postgresql://me:secret@host/db?nonsense=1", "cannot be read"),
        ("postgresql://me:%zz@host/db", "cannot be read"),
        ("postgresql://me:secret@127.0.0.1:1/db", "cannot connect to postgresql://me@127.0.0.1:1"),
        ("postgresql://me:secret@127.0.0.1:1/db", "check host and port"),
        ("postgresql://me@no.such.host.invalid/db", "check the host"),
    ],
)
def test_bad_urls_are_refused_and_passwords_not_shown(tmp_path, url, said):
    text = refusal(url, tmp_path)
    assert said in text
    assert not any(secret in text for secret in ("sec", "ret@", "%zz"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pw@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me@host/db?sslmode=require", "postgresql://me@host/db"),
        ("postgresql://host/db?password=pw", "postgresql://host/db"),
        ("postgresql://me:p@w@host/db", "postgresql://me@host/db"),  # not encoded
        ("postgresql://me:p/w?x#y@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pw@[::1]:5432,other:1/db", "postgresql://me@[::1]:5432,other:1/db"),
        ("postgresql:///db", "postgresql:///db"),
    ],
)
def test_addresses_are_shown_without_passwords(url, shown):
    assert without_password(url) == shown


def test_reading_without_a_history_says_how_to_get_one(tmp_path):
    assert "no run history yet" in refusal(None, tmp_path, create=False)
    assert "`dbtorch run`" in refusal("sqlite:///x/y.db", tmp_path, create=False)
    assert list(tmp_path.iterdir()) == []  # and writes nothing


@pytest.mark.postgres
def test_reading_from_an_empty_postgres_says_how_to_get_a_history(tmp_path, postgres_url):
    assert "no run history yet" in refusal(postgres_url, tmp_path, create=False)
    open_store(postgres_url, tmp_path).close()
    open_store(postgres_url, tmp_path, create=False).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / ".dbtorch").write_text("a file")
    text = refusal(None, tmp_path)
    assert f"the folder {tmp_path / '.dbtorch'} " in text
    assert "name another place with DBTORCH_STATE_DIR" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "check its permissions" in refusal(None, tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    (tmp_path / "h.db").mkdir()
    assert f"{tmp_path / 'h.db'} cannot be opened" in refusal("sqlite:///h.db", tmp_path)


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "h.db").write_bytes(b"DUCK" * 1000)
    assert "is not a SQLite database" in refusal("sqlite:///h.db", tmp_path)
    assert (tmp_path / "h.db").read_bytes() == b"DUCK" * 1000


def test_a_damaged_file_is_named(tmp_path):
    store = open_store("sqlite:///h.db", tmp_path)
    store.begin(a_run(), [a_node(f"model.{number}") for number in range(500)])
    store.close()
    file = tmp_path / "h.db"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(StoreError, match=r"h\.db is damaged .* move the file away"):
        open_store("sqlite:///h.db", tmp_path).run("r1")


def test_a_file_somebody_else_writes_to_is_waited_for_and_then_named(tmp_path):
    file = tmp_path / "h.db"
    open_store("sqlite:///h.db", tmp_path).close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    database = Database(SqliteDriver(file, busy_timeout=0.05), patience=0.2)
    with pytest.raises(StoreError, match="is locked by another process"):
        database.write(lambda transaction: transaction.run("DELETE FROM dbtorch_leases"))
    other.execute("ROLLBACK")
    other.close()
    database.write(lambda transaction: transaction.run("DELETE FROM dbtorch_leases"))
    database.close()


def test_a_run_that_has_ended_is_in_the_file_itself_before_that_is_closed(tmp_path):
    store = open_store("sqlite:///h.db", tmp_path)
    store.begin(a_run(), [a_node("model.a")])
    store.end("r1", RunState.SUCCESS, NOON)
    store._database._settling.join(PATIENCE)
    alone = f"file:{tmp_path / 'h.db'}?immutable=1"  # read without the log of what was written
    with contextlib.closing(sqlite3.connect(alone, uri=True)) as file:
        assert file.execute("SELECT run_id, state FROM dbtorch_runs").fetchall() == [
            ("r1", "success")
        ]
    assert store.run("r1").state is RunState.SUCCESS
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["h.db"]


def test_a_full_disk_is_named_and_nothing_is_half_written(tmp_path):
    store = open_store("sqlite:///h.db", tmp_path)
    store._database._connection.execute("PRAGMA max_page_count = 30")
    many = [a_node(f"model.{number}") for number in range(5_000)]
    with pytest.raises(StoreError, match="make room on the disk"):
        store.begin(a_run(), many)
    assert store.run("r1") is None
    store.close()


def test_a_closed_store_says_so(tmp_path):
    store = open_store(None, tmp_path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="was closed already"):
        store.runs()


# ------------------------------------------------------------------ Postgres says no


@pytest.mark.postgres
def test_a_missing_database_is_named(tmp_path, postgres_server):
    text = refusal(with_database(postgres_server, "no_such_db"), tmp_path)
    assert "create the database first" in text
    assert "no_such_db" in text


@pytest.mark.postgres
def test_a_user_the_server_does_not_know_is_refused(tmp_path, postgres_server):
    head, _, host = postgres_server.rpartition("@")
    text = refusal(f"{head.partition('://')[0]}://nobody9:hidden@{host}", tmp_path)
    assert "cannot connect to" in text
    assert "check" in text
    assert "hidden" not in text


@pytest.mark.postgres
def test_a_schema_that_is_not_there_is_named(tmp_path, postgres_database):
    url = with_option(postgres_database, "options=-csearch_path%3Dnowhere")
    assert "create the schema first" in refusal(url, tmp_path)


@pytest.mark.postgres
def test_a_server_that_takes_no_writes_is_named(tmp_path, postgres_database):
    url = with_option(postgres_database, "options=-cdefault_transaction_read_only%3Don")
    assert "takes no writes" in refusal(url, tmp_path)


# ------------------------------------------------------------------ migrations


def test_opening_a_store_again_changes_nothing(tmp_path, database_url):
    store = open_store(database_url, tmp_path)
    store.begin(a_run(), [a_node("model.a")])
    before = store.run("r1")
    store.close()
    store = open_store(database_url, tmp_path)
    assert store.run("r1") == before
    migrator.migrate(store._database)
    assert migrator.version(store._database) == NEWEST
    store.close()


def test_a_store_of_the_first_dbtorch_is_upgraded_with_what_it_remembers(tmp_path, database_url):
    folder = tmp_path / "migrations"
    folder.mkdir()
    first = Path(migrator.__file__).parent / "migrations" / "0001_initial.sql"
    shutil.copy(first, folder)
    database = open_database(database_url, tmp_path)
    migrator.migrate(database, folder)
    partial = {
        "selected": {"options": {"narrowed": True, "steps": True}},
        "stepless": {"options": {"narrowed": False, "steps": False}},
        "tests": {"dbt_args": ("--resource-type", "test")},
    }
    database.write(put_old_run)
    for run_id, given in partial.items():
        database.write(lambda tx, run_id=run_id, given=given: put_old_run(tx, run_id, **given))
    for number, message in enumerate(["lost: the supervisor (pid 3 on vm) was gone", "lost"], 2):
        values = {"number": number, "message": message, "at": rows.moment(NOON)}
        database.write(lambda tx, values=values: tx.run(_OLD_FAILURE, values))
    assert migrator.version(database) == 1
    database.close()

    store = open_store(database_url, tmp_path)
    assert migrator.version(store._database) == NEWEST
    attempts = store.attempts("r1", "model.a")
    assert [(one.seconds, one.lost) for one in attempts] == [(30, False), (0, True), (0, False)]
    assert {run.run_id for run in store.runs() if run.partial} == partial.keys()
    assert not store.run("r1").partial
    assert (store.run("r1").actions, store.run("r1").nodes[0].checksum) == ((), "")
    assert store.act("r1", Action(action="cancel", at=NOON, actor="ana@here")) == 1
    store.close()


def put_old_run(transaction, run_id="r1", project="shop", target="dev", **given):
    """A run as the first dbtorch wrote it."""
    values = rows.run_values(a_run(run_id, project=project, target=target, **given))
    new = ("project_id", "place", "partial", "resumed_at", "seconds_before")
    columns = [name for name in statements.RUN_COLUMNS if name not in new]
    given = ", ".join(f":{name}" for name in columns)
    transaction.run(f"INSERT INTO dbtorch_runs ({', '.join(columns)}) VALUES ({given})", values)
    own = {"run_id": run_id, "project": project, "target": target}
    for statement in _OLD_ROWS:
        transaction.run(statement, own)


_OLD_FAILURE = """
    INSERT INTO dbtorch_attempts (run_id, node_id, number, project, target, state, queued_at,
        started_at, finished_at, failure_class, message)
    VALUES ('r1', 'model.a', :number, 'shop', 'dev', 'failed', :at, :at, :at, 'transient', :message)
"""

_OLD_ROWS = (
    """
    INSERT INTO dbtorch_run_nodes
        (run_id, node_id, ordinal, kind, name, path, materialized, owner, runbook, node_group, state)
    VALUES (:run_id, 'model.a', 0, 'model', 'a', '', '', '', '', '', 'success')
    """,
    """
    INSERT INTO dbtorch_attempts (run_id, node_id, number, project, target, state, queued_at,
        started_at, finished_at)
    VALUES (:run_id, 'model.a', 1, :project, :target, 'success',
        '2026-03-29T12:00:00.000000+00:00', '2026-03-29T12:00:00.000000+00:00',
        '2026-03-29T12:00:30.000000+00:00')
    """,
)


def before_there_were_ids(url, tmp_path, numbers="000[1-5]*.sql"):
    """A store of the last dbtorch that knew projects by name only."""
    folder = tmp_path / "migrations-of-before"
    folder.mkdir()
    for path in (Path(migrator.__file__).parent / "migrations").glob(numbers):
        shutil.copy(path, folder)
    database = open_database(url, tmp_path)
    migrator.migrate(database, folder)
    return database


_OLD_MESSAGE = """
    INSERT INTO dbtorch_outbox (notifier, address, message_key, ordinal, kind, run_id, thread, body,
        created_at, updated_at)
    VALUES ('slack', '', :key, 0, 'note', :run_id, '', :body,
        '2026-03-29T12:00:00.000000+00:00', '2026-03-29T12:00:00.000000+00:00')
"""

_OLD_INCIDENT = """
    INSERT INTO dbtorch_incidents (project, target, pipeline, node_id, opened_run, opened_at,
        last_run, in_a_row, told_at)
    VALUES ('shop', :target, 'daily', 'model.a', 'r1', '2026-03-29T12:00:00.000000+00:00', 'r1', 1,
        '2026-03-29T12:00:00.000000+00:00')
"""


def test_what_was_written_under_names_is_the_first_projects_that_runs(tmp_path, database_url):
    database = before_there_were_ids(database_url, tmp_path)

    def write(transaction):
        put_old_run(transaction)
        put_old_run(transaction, "r2", "bank")
        for key, run_id, body in (
            ("run/r1", "r1", "{}"),
            ("run/r2", "r2", "{}"),
            ("status/1", "", '{"alert": {"project": "shop"}}'),
            ("status/2", "", '{"alert": {"project": "bank"}}'),
        ):
            transaction.run(_OLD_MESSAGE, {"key": key, "run_id": run_id, "body": body})
        transaction.run(_OLD_INCIDENT, {"target": "dev"})

    database.write(write)
    migrator.migrate(database)
    places = {"dev": "dev (duckdb dev.ana)"}
    shop = SqlStore(database, Identity(project_id="acme/shop", name="shop", places=places))
    namesake = SqlStore(database, Identity(project_id="other/shop", name="shop"))

    def known(store):
        return (
            [run.run_id for run in store.runs()],
            store.durations("dev"),
            [run.run_id for run in store.standing("dev").runs],
            [one.node_id for one in store.incidents("dev", "daily")],
        )

    all_of_it = (["r1"], {"model.a": (30,)}, ["r1"], ["model.a"])
    assert known(shop) == all_of_it  # before anybody has run
    assert shop.outbox() == []
    shop.adopt("dev")
    shop.adopt("dev")
    assert known(shop) == all_of_it
    assert shop.run("r1").place == "dev (duckdb dev.ana)"
    assert {one.entry.key for one in shop.outbox()} == {"run/r1", "status/1"}
    namesake.adopt("dev")
    assert known(namesake) == ([], {}, [], [])
    assert namesake.outbox() == []
    database.close()


def open_database(url, tmp_path) -> Database:
    if url.startswith("postgres"):
        return Database(PostgresDriver(url))
    path = sqlite_path(url, tmp_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return Database(SqliteDriver(path))


def test_a_store_of_a_newer_dbtorch_is_refused(tmp_path, database_url):
    store = open_store(database_url, tmp_path)
    store._database.write(lambda tx: tx.run("INSERT INTO dbtorch_schema_version VALUES (99)"))
    store.close()
    text = refusal(database_url, tmp_path, create=False)
    assert f"written by a newer dbtorch (schema 99, this one knows {NEWEST})" in text
    assert "upgrade dbtorch" in text


def test_later_migrations_are_applied_in_order_and_a_broken_one_leaves_nothing(
    tmp_path, database_url
):
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrator.__file__).parent / "migrations", folder)
    newest = migrator.newest_version()
    later, last = (folder / f"{newest + more:04}_more.sql" for more in (1, 2))
    later.write_text("-- new\nALTER TABLE dbtorch_runs ADD a TEXT;\n")
    last.write_text("ALTER TABLE dbtorch_runs ADD b TEXT; SELECT nope;")
    store = open_store(database_url, tmp_path)
    with pytest.raises(StoreError, match="nope"):
        migrator.migrate(store._database, folder)
    assert migrator.version(store._database) == newest + 1
    last.write_text("ALTER TABLE dbtorch_runs ADD b TEXT;")
    migrator.migrate(store._database, folder)
    assert migrator.version(store._database) == newest + 2
    store._database.read(lambda tx: tx.all("SELECT a, b FROM dbtorch_runs"))
    store.close()


# ------------------------------------------------------------------ start-up


def test_sqlite_imports_neither_psycopg_nor_sqlalchemy(tmp_path):
    script = f"""
import pathlib, sys
from dbtorch.adapters.store import open_store
open_store(None, pathlib.Path({str(tmp_path)!r})).runs()
print([name for name in ("psycopg", "sqlalchemy", "statistics", "asyncio") if name in sys.modules])
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_driver_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    text = refusal("postgresql://me:secret@host/db", tmp_path)
    assert f"{sys.executable} -m pip install 'psycopg[binary]'" in text
    assert "secret" not in text
