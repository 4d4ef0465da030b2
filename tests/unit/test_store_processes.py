"""Stores and real processes: races, deaths, lost connections, threads."""

import os
import signal
import sys
import threading
from contextlib import ExitStack
from subprocess import PIPE, Popen

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.core.errors import StoreUnreachable
from dbtorch.core.model.state import RunState, State
from tests.stores import NOON, SUCCESS, a_lease, a_node, a_run, an_attempt, change, let_pass

RACERS = 4

RACE = """
import os, pathlib, socket, sys
from datetime import UTC, datetime, timedelta
from dbtorch.adapters.processes.liveness import this_process
from dbtorch.adapters.store import open_store
from dbtorch.core.history.records import Lease
from dbtorch.core.errors import LeaseHeld

url, folder, now = sys.argv[1], pathlib.Path(sys.argv[2]), datetime.now(UTC)
print("ready", flush=True)
sys.stdin.readline()
store = open_store(url, folder)
lease = Lease(
    name="shop/default", run_id=str(os.getpid()), host=socket.gethostname(), pid=os.getpid(),
    process=this_process(),
    acquired_at=now, expires_at=now + timedelta(seconds=60),
)
try:
    store.acquire(lease)
except LeaseHeld as held:
    print("held by", held.lease.pid, flush=True)
else:
    print("won", os.getpid(), flush=True)
sys.stdin.readline()  # until all have spoken: a holder that died would lose its lease
store.close()
"""


def race(url, folder) -> list[str]:
    """What each of several processes says that open a store and take one lease at once."""
    command = [sys.executable, "-c", RACE, url, str(folder)]
    with ExitStack() as stack:
        racers = [
            stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True))
            for _ in range(RACERS)
        ]
        assert {racer.stdout.readline() for racer in racers} == {"ready\n"}
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        return [racer.stdout.readline().strip() for racer in racers]


def test_of_processes_that_race_for_a_lease_in_a_new_store_one_wins(tmp_path, database_url):
    said = race(database_url, tmp_path)
    (winner,) = [line.removeprefix("won ") for line in said if line.startswith("won")]
    assert sorted(said) == sorted([f"won {winner}"] + [f"held by {winner}"] * (RACERS - 1))


def test_of_processes_that_race_for_an_expired_lease_one_wins(tmp_path, database_url):
    store = open_store(database_url, tmp_path)
    store.acquire(a_lease("old"))
    let_pass(store, 60)
    store.close()
    said = race(database_url, tmp_path)
    assert [line.split()[0] for line in sorted(said)] == ["held"] * (RACERS - 1) + ["won"]


WRITER = """
import itertools, pathlib, sys
from dbtorch.adapters.store import open_store
from tests.stores import SUCCESS, a_node, a_run, an_attempt
from dbtorch.core.model.state import State

store = open_store(sys.argv[1], pathlib.Path("."))
store.begin(a_run(), [a_node("model.a")])
for number in itertools.count(1):
    store.record("r1", an_attempt("model.a", SUCCESS, number=number, start=number))
    print(number, flush=True)
"""


def test_what_was_recorded_survives_kill_9(tmp_path, sqlite_url):
    with Popen([sys.executable, "-c", WRITER, sqlite_url], stdout=PIPE, text=True) as writer:
        for _ in range(50):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().splitlines()
    told = int(rest[-1]) if rest else 50

    store = open_store(sqlite_url, tmp_path, create=False)
    run = store.run("r1")
    attempts = run.nodes[0].attempts
    assert len(attempts) in (told, told + 1)  # one more may be written than was told
    assert len(run.transitions) == 3 * len(attempts)  # all of a turn, or nothing
    assert {attempt.state for attempt in attempts} == {State.SUCCESS}
    store.begin(a_run(), [a_node("model.a")])  # and it goes on
    store.close()


def test_a_heartbeat_in_one_thread_and_records_in_another(tmp_path, database_url):
    store = open_store(database_url, tmp_path)
    nodes = [a_node(f"model.{number}") for number in range(40)]
    store.begin(a_run(), nodes)
    mine, _ = store.acquire(a_lease())
    renewed = []
    beat = threading.Thread(target=lambda: renewed.extend(store.renew(mine) for _ in range(40)))
    beat.start()
    for node in nodes:
        store.record("r1", an_attempt(node.id, SUCCESS))
    beat.join()
    assert renewed == [True] * 40
    assert store.runs()[0].counts == {State.SUCCESS: 40}
    store.close()


def test_readers_see_whole_turns_while_a_run_writes(tmp_path, database_url):
    writer = open_store(database_url, tmp_path)
    reader = open_store(database_url, tmp_path, create=False)
    writer.begin(a_run(), [a_node("model.a")])
    for number in range(1, 20):
        writer.record("r1", an_attempt("model.a", SUCCESS, number=number))
        assert len(reader.run("r1").transitions) == 3 * number
    writer.close()
    reader.close()


# ------------------------------------------------------------------ lost connections


def hang_up(store, server):
    """End a store's connection the way a server that restarts does."""
    import psycopg

    row = store._database.read(lambda tx: tx.one("SELECT pg_backend_pid() AS pid"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", [row["pid"]])


@pytest.mark.postgres
def test_a_lost_connection_is_made_again_and_nothing_is_written_twice(
    tmp_path, postgres_url, postgres_server
):
    store = open_store(postgres_url, tmp_path)
    store.begin(a_run(), [a_node("model.a")])
    hang_up(store, postgres_server)
    store.record("r1", [change("model.a", State.PENDING, State.QUEUED, 1)])
    hang_up(store, postgres_server)
    assert len(store.run("r1").transitions) == 1
    store.close()


@pytest.mark.postgres
def test_a_connection_that_stays_lost_is_an_error(
    tmp_path, postgres_url, postgres_server, monkeypatch
):
    store = open_store(postgres_url, tmp_path)
    monkeypatch.setattr(store._database, "_patience", 0.01)
    hang_up(store, postgres_server)
    store._database.driver._parameters["port"] = "1"
    with pytest.raises(StoreUnreachable, match="cannot connect to"):
        store.end("r1", RunState.FAILED, NOON)
    store.close()
