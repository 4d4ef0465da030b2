"""Opening a store: where it is, whose it is, and what is said when it cannot be."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dbtorch.adapters.state_dir import state_dir
from dbtorch.adapters.store import migrator, open_store, rows, statements
from dbtorch.adapters.store.database import Database
from dbtorch.adapters.store.locations import sqlite_path
from dbtorch.adapters.store.postgres import PostgresDriver, without_password
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.adapters.store.sqlite import SqliteDriver
from dbtorch.core.history import Action
from dbtorch.core.state import RunState
from dbtorch.ports import StoreError
from tests.postgres import with_database, with_option
from tests.stores import NOON, SUCCESS, a_node, a_run, an_attempt


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
    state_dir(tmp_path).joinpath(".gitignore").write_text("runs/\n")
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
    assert "choose another place" in text


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
    database = Database(SqliteDriver(file, busy_timeout=0.05))
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
    store._database._settling.join(20)
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
    assert migrator.version(store._database) == 5
    store.close()


def test_a_store_of_the_first_dbtorch_is_upgraded_with_what_it_remembers(tmp_path, database_url):
    folder = tmp_path / "migrations"
    folder.mkdir()
    first = Path(migrator.__file__).parent / "migrations" / "0001_initial.sql"
    shutil.copy(first, folder)
    database = open_database(database_url, tmp_path)
    migrator.migrate(database, folder)
    old = SqlStore(database)
    database.write(lambda tx: tx.run(statements.PUT_RUN, rows.run_values(a_run())))
    database.write(lambda tx: tx.run(_OLD_NODE))
    old.record("r1", an_attempt("model.a", SUCCESS))
    before = old.attempts("r1", "model.a")
    assert migrator.version(database) == 1
    old.close()

    store = open_store(database_url, tmp_path, create=False)
    assert migrator.version(store._database) == 5
    assert store.attempts("r1", "model.a") == before
    assert (store.run("r1").actions, store.run("r1").nodes[0].checksum) == ((), "")
    assert store.act("r1", Action(action="cancel", at=NOON, actor="ana@here")) == 1
    store.close()


_OLD_NODE = """
    INSERT INTO dbtorch_run_nodes
        (run_id, node_id, ordinal, kind, name, path, materialized, owner, runbook, node_group, state)
    VALUES ('r1', 'model.a', 0, 'model', 'a', '', '', '', '', '', 'pending')
"""


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
    assert "written by a newer dbtorch (schema 99, this one knows 5)" in text
    assert "upgrade dbtorch" in text


def test_later_migrations_are_applied_in_order_and_a_broken_one_leaves_nothing(
    tmp_path, database_url
):
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrator.__file__).parent / "migrations", folder)
    folder.joinpath("0009_a.sql").write_text("-- new\nALTER TABLE dbtorch_runs ADD a TEXT;\n")
    folder.joinpath("0010_b.sql").write_text("ALTER TABLE dbtorch_runs ADD b TEXT; SELECT nope;")
    store = open_store(database_url, tmp_path)
    with pytest.raises(StoreError, match="nope"):
        migrator.migrate(store._database, folder)
    assert migrator.version(store._database) == 9
    folder.joinpath("0010_b.sql").write_text("ALTER TABLE dbtorch_runs ADD b TEXT;")
    migrator.migrate(store._database, folder)
    assert migrator.version(store._database) == 10
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
    assert "pip install 'dbtorch[postgres]'" in text
    assert "secret" not in text
