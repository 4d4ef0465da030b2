"""What Postgres, or who uses it, can do to a history, and for how long."""

import threading
from urllib.parse import urlsplit

import pytest

from dbtorch.adapters.store import open_store, postgres
from dbtorch.core.errors import StoreError, StoreUnreachable
from tests.stores import SUCCESS, a_lease, a_node, a_run, an_attempt
from tests.waiting import PATIENCE

pytestmark = pytest.mark.postgres


@pytest.fixture
def hurried(monkeypatch):
    """Nobody waits long for a lock."""
    for name in ("begin_read", "begin_write"):
        text = getattr(postgres.PostgresDriver, name).replace("'5s'", "'100ms'")
        monkeypatch.setattr(postgres.PostgresDriver, name, text)


@pytest.fixture
def store(tmp_path, postgres_url):
    opened = open_store(postgres_url, tmp_path)
    opened.begin(a_run(), [a_node("model.a")])
    yield opened
    opened.close()


@pytest.fixture
def locked(postgres_url, store):
    """Somebody holds a table of the history; `ROLLBACK` lets it go."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("BEGIN; LOCK TABLE dbtorch_transitions IN ACCESS EXCLUSIVE MODE")
        yield other
        other.execute("ROLLBACK")


def test_a_locked_table_is_waited_for_and_then_named(store, locked, hurried, monkeypatch):
    monkeypatch.setattr(store._database, "_patience", 0.2)
    with pytest.raises(StoreError, match="somebody has locked a table of the history"):
        store.record("r1", an_attempt("model.a", SUCCESS))
    locked.execute("ROLLBACK; BEGIN")
    store.record("r1", an_attempt("model.a", SUCCESS))
    assert len(store.run("r1").transitions) == 3


def test_what_is_in_the_way_for_a_moment_stops_nobody(store, locked, hurried):
    threading.Timer(0.5, lambda: locked.execute("ROLLBACK; BEGIN")).start()
    store.record("r1", an_attempt("model.a", SUCCESS))
    assert len(store.run("r1").transitions) == 3


def test_a_lease_and_requests_do_not_wait_for_who_waits(store, locked):
    mine, _ = store.acquire(a_lease("r1"))
    aside = store.apart()
    writes = threading.Thread(
        target=store.record, args=("r1", an_attempt("model.a", SUCCESS)), daemon=True
    )
    writes.start()
    while store._database._lock.acquire(blocking=False):  # until it stands still
        store._database._lock.release()
    assert aside.renew(mine)
    assert aside.actions("r1") == []
    assert aside.outbox() == []
    assert writes.is_alive()
    locked.execute("ROLLBACK; BEGIN")
    writes.join(PATIENCE)
    assert not writes.is_alive()


def test_every_transaction_has_its_limits_and_nothing_is_prepared(store):
    def asked(transaction):
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        limits = [transaction.one(f"SHOW {name}")[name] for name in names]
        for _ in range(8):
            transaction.all("SELECT * FROM dbtorch_runs WHERE run_id = :id", {"id": "r1"})
        prepared = transaction.all("SELECT * FROM pg_prepared_statements")
        return limits, prepared

    assert store._database.read(asked) == (["5s", "1min", "30s"], [])
    assert store._database.write(asked) == (["5s", "15s", "30s"], [])


def test_a_server_that_is_gone_without_a_word_is_noticed(store):
    said = store._database._connection.info.get_parameters()
    assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("5", "12000")
    assert said["connect_timeout"] == "5"


def test_what_the_address_says_of_the_network_counts(tmp_path, postgres_url):
    store = open_store(f"{postgres_url}&keepalives_idle=60", tmp_path)
    assert store._database._connection.info.get_parameters()["keepalives_idle"] == "60"
    store.close()


def test_a_server_that_is_away_may_be_back_and_a_wrong_name_stays_wrong(tmp_path, postgres_url):
    with pytest.raises(StoreUnreachable, match="cannot connect to"):
        open_store("postgresql://ann@127.0.0.1:1/runs", tmp_path)
    wrong = urlsplit(postgres_url)._replace(path="/no_such_database").geturl()
    with pytest.raises(StoreError, match="cannot connect to") as caught:
        open_store(wrong, tmp_path)
    assert not isinstance(caught.value, StoreUnreachable)
