"""Reading: what is older, what may not be written, what is damaged."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from dbtorch.adapters.store import migrator, open_store, statements
from dbtorch.adapters.store.database import Transaction
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.cli.main import cli
from dbtorch.core.errors import StoreError, UsageError
from dbtorch.core.history.records import Action
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.measure import Measure
from dbtorch.core.model.reason import FAIL_FAST, NO_REASON, Reason, ReasonKind
from dbtorch.core.model.state import State
from dbtorch.testing import FixedClock
from dbtorch.testing.store import MemoryStore
from tests.contract.test_store_outbox import a_note, an_incident
from tests.stores import NOON, a_lease, a_node, a_run, an_attempt
from tests.unit.printed import logs, runs, show
from tests.unit.test_store_open import before_there_were_ids, put_old_run

DONE = Outcome(state=State.SUCCESS, measures=(Measure(name="row_count", number=3),))


@pytest.fixture
def newer(monkeypatch, tmp_path_factory):
    """A dbtorch with one more migration."""
    folder = tmp_path_factory.mktemp("newer") / "migrations"
    shutil.copytree(Path(migrator.__file__).parent / "migrations", folder)
    number = migrator.newest_version() + 1
    more = folder / f"{number:04}_more.sql"
    more.write_text("ALTER TABLE dbtorch_runs ADD COLUMN more TEXT;")
    monkeypatch.setattr(migrator, "_FOLDER", folder)
    return number


def older(url, tmp_path):
    """A history of the oldest schema that is read, with a run in it."""
    database = before_there_were_ids(url, tmp_path, f"000[1-{migrator.READABLE}]*.sql")
    store = SqlStore(database)
    store.begin(a_run(), [a_node(id) for id in OLD_REASONS])
    database.write(_put_old_reasons)
    store.close()


#: How nodes ended, in the words of a dbtorch that kept nothing else.
OLD_REASONS = {
    "model.a": ("skipped", "Skipping due to fail_fast"),
    "model.b": ("cancelled", "the run was cancelled by ana@desk"),
    "model.c": ("cancelled", "model.b was cancelled"),
    "model.d": ("skipped", "model.nobody was skipped"),  # what a step may have said
    "model.e": ("success", ""),
}


def _put_old_reasons(transaction):
    for ordinal, (id, (state, reason)) in enumerate(OLD_REASONS.items(), 1):
        about = {"id": id, "ordinal": ordinal, "state": state, "reason": reason}
        transaction.run(
            "UPDATE dbtorch_run_nodes SET state = :state, reason = :reason WHERE node_id = :id",
            about,
        )
        transaction.run(
            "INSERT INTO dbtorch_transitions VALUES ('r1', :ordinal, :id, 1, 'pending', :state,"
            " '2026-03-29T12:00:30.000000+00:00', :reason)",
            about,
        )
    transaction.run(
        "INSERT INTO dbtorch_attempts (run_id, node_id, number, project, target, state, queued_at)"
        " VALUES ('r1', 'model.a', 1, 'shop', 'dev', 'skipped', '2026-03-29T12:00:00+00:00')"
    )


def test_old_reasons_are_sentences_until_they_are_upgraded(tmp_path, database_url):
    older(database_url, tmp_path)
    store = open_store(database_url, tmp_path, create=False)
    old = store.run("r1")
    sentences = [Reason(ReasonKind.OTHER, text=text) for _, text in OLD_REASONS.values() if text]
    assert [node.reason for node in old.nodes] == [*sentences, NO_REASON]
    assert [move.reason for move in old.transitions] == [*sentences, NO_REASON]
    store.close()

    store = open_store(database_url, tmp_path)
    new = store.run("r1")
    assert [node.reason for node in new.nodes] == [
        FAIL_FAST,
        Reason(ReasonKind.OTHER, text="the run was cancelled by ana@desk"),
        Reason(ReasonKind.UPSTREAM_CANCELLED, ("model.b",)),
        Reason(ReasonKind.OTHER, text="model.nobody was skipped"),
        NO_REASON,
    ]
    assert [str(node.reason) for node in new.nodes] == [text for _, text in OLD_REASONS.values()]
    store.close()


def test_reading_leaves_a_history_as_old_as_it_is(tmp_path, database_url, newer):
    older(database_url, tmp_path)
    store = open_store(database_url, tmp_path, create=False)
    assert read_all(store) == 0
    assert migrator.version(store._database) == migrator.READABLE
    store.close()
    with pytest.raises(StoreError, match=r"older dbtorch .* `dbtorch db upgrade`"):
        open_store(database_url, tmp_path, create=False, writes=True)
    open_store(database_url, tmp_path).close()
    open_store(database_url, tmp_path, create=False, writes=True).close()


def test_a_history_that_is_too_old_to_be_read_says_what_to_do(tmp_path, database_url):
    before_there_were_ids(database_url, tmp_path).close()
    with pytest.raises(StoreError, match=r"schema 5, .* `dbtorch db upgrade` brings it up to date"):
        open_store(database_url, tmp_path, create=False)


def test_a_history_is_upgraded_by_hand(tmp_path):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / ".dbtorch").mkdir()
    url = f"sqlite:///{tmp_path}/.dbtorch/dbtorch.db"
    database = before_there_were_ids(url, tmp_path)
    database.write(put_old_run)
    database.close()
    told = CliRunner().invoke(cli, ["db", "--project-dir", str(tmp_path)]).output
    assert f"schema    5; this dbtorch knows {migrator.newest_version()}" in told
    told = CliRunner().invoke(cli, ["db", "upgrade", "--project-dir", str(tmp_path)]).output
    assert "is upgraded from schema 5" in told
    told = CliRunner().invoke(cli, ["db", "--project-dir", str(tmp_path)]).output
    assert "the newest" in told
    store = open_store(None, tmp_path, create=False)
    assert store.find("latest") == ["r1"]
    store.close()


# ------------------------------------------------------------------ what may not be written

READER = """
import os, pathlib, sys
sys.path[:0] = {path!r}
from dbtorch.adapters.store import open_store, sqlite, sqlite_read_only
os.setuid(65534)  # who may read none of our own files
store = open_store(None, pathlib.Path(sys.argv[1]), create=False)
print([run.run_id for run in store.runs()], len(store.run("r1").transitions))
store.close()
"""


@pytest.fixture
def shared():
    """A folder that everybody may read, and only we may write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")
@pytest.mark.parametrize("how", ["closed", "left", "open"])
def test_a_history_that_may_only_be_read_is_read(shared, how):
    store = open_store(None, shared)
    store.begin(a_run(), [a_node("model.a")])
    store.record("r1", an_attempt("model.a", DONE))
    history = shared / ".dbtorch"
    if how == "left":  # by a process that was killed: what it wrote is in the log alone
        copy = {path.name: path.read_bytes() for path in history.iterdir()}
        store.close()
        for name, content in copy.items():
            if not name.endswith("-shm"):
                (history / name).write_bytes(content)
    if how == "closed":
        store.close()
    for path in (history, *history.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    before = sorted(path.name for path in history.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", READER.format(path=sys.path), str(shared)],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    assert done.stdout == "['r1'] 3\n", done.stderr
    assert sorted(path.name for path in history.iterdir()) == before
    store.close()


# ------------------------------------------------------------------ what is damaged


def questions(store):
    """Everything that is read of a history."""
    clock = FixedClock(NOON)
    return [
        lambda: runs(store, echo=str, clock=clock),
        lambda: runs(store, format="json", echo=str, clock=clock),
        lambda: show(store, "r1", echo=str, clock=clock),
        lambda: show(store, "r1", format="json", echo=str, clock=clock),
        lambda: logs(store, "r1", "model.a", project_dir=Path("/nowhere"), echo=str),
        lambda: store.durations("dev"),
        lambda: store.standing("dev"),
        lambda: store.last_success_end("dev", "default"),
        lambda: store.successful_intervals("dev", "default"),
        lambda: store.incidents("dev", "daily"),
        store.outbox,
        lambda: store.message("slack", "#data", a_note().key),
        lambda: store.measured("dev", "model.a", "row_count", last=3),
        lambda: store.rows("r1"),
        lambda: store.driver("r1"),
        lambda: store.actions("r1"),
        lambda: store.attempts("r1", "model.a"),
    ]


def read_all(store, of=None):
    """Ask everything, or what has those numbers; answers how often it was refused in a sentence."""
    refused, asked = 0, questions(store)
    for ask in asked if of is None else (asked[number] for number in of):
        try:
            ask()
        except (StoreError, UsageError) as error:
            refused += "\n" not in str(error) or pytest.fail(str(error))
    return refused


def that_read(store, table):
    """Numbers of the questions that look into a table."""
    found, said = [], []
    store._database._connection.set_trace_callback(said.append)
    for number, ask in enumerate(questions(store)):
        said.clear()
        ask()
        if any(table in one for one in said):
            found.append(number)
    return found


CELLS = ["", "x", "{}", "[]", "null", "1e999", "[[1]]", 7, 2.5, b"\xff", "2026-01-01"]

TABLES = ("runs", "run_nodes", "attempts", "transitions", "actions", "leases", "outbox", "incidents",
          "measurements")  # fmt: skip


@pytest.fixture
def whole(tmp_path):
    store = open_store(None, tmp_path)
    store.begin(a_run(), [a_node("model.a")])
    store.record("r1", an_attempt("model.a", DONE))
    store.act("r1", Action(action="cancel", at=NOON, actor="ana"))
    store.acquire(a_lease())
    store.alert([a_note()], [an_incident()], at=NOON)
    assert read_all(store) == 0
    store.close()
    return tmp_path / ".dbtorch" / "dbtorch.db"


@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_cell_is_a_sentence(tmp_path, whole, table):
    with closing(open_store(None, tmp_path, create=False)) as store:
        of = that_read(store, f"dbtorch_{table}")
    assert of
    with closing(sqlite3.connect(whole, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")  # nobody wants it after a power cut
        columns = [row[1] for row in file.execute(f"PRAGMA table_info(dbtorch_{table})")]
        refused, first = 0, f" WHERE rowid = (SELECT min(rowid) FROM dbtorch_{table})"
        for column in columns:
            (kept,) = file.execute(f"SELECT {column} FROM dbtorch_{table}{first}").fetchone()
            store = open_store(None, tmp_path, create=False)
            for cell in CELLS:
                with contextlib.suppress(sqlite3.IntegrityError):
                    file.execute(f"UPDATE dbtorch_{table} SET {column} = ?{first}", [cell])
                    refused += read_all(store, of)
            store.close()
            file.execute(f"UPDATE dbtorch_{table} SET {column} = ?{first}", [kept])
        assert refused


def test_what_is_damaged_is_named(tmp_path, whole):
    with closing(sqlite3.connect(whole, isolation_level=None)) as file:
        file.execute("UPDATE dbtorch_attempts SET details = 'nope'")
    store = open_store(None, tmp_path, create=False)
    with pytest.raises(StoreError) as refused:
        store.run("r1")
    said = str(refused.value)
    assert f"the run history in {whole} is damaged: table dbtorch_attempts, run_id r1" in said
    assert "node_id model.a, number 1" in said
    store.close()


@pytest.mark.parametrize("query", ["LAST_RUNS", "LAST_ENDS", "LAST_CHECKS"])
def test_how_a_project_stands_is_read_without_a_look_at_every_run(query):
    """A row of a run holds its whole graph: thousands of them are read from an index, or not."""
    store = MemoryStore()
    values = store._database.read(store._scope.series, "dev")
    text = "EXPLAIN QUERY PLAN " + statements.of_now(getattr(statements, query))
    plan = [row["detail"] for row in store._database.read(Transaction.all, text, values)]
    of_runs = [step for step in plan if "dbtorch_runs" in step]
    assert of_runs
    assert all("COVERING INDEX" in step or "(run_id=?)" in step for step in of_runs), plan
    assert not any(step.startswith("SCAN dbtorch") for step in plan), plan
