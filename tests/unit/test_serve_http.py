"""What `serve` answers over HTTP, and whom."""

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbtorch.core.errors import StoreError, UsageError
from dbtorch.core.model.events import Attempt
from dbtorch.core.model.offer import Offer
from dbtorch.core.model.state import RunState
from dbtorch.core.schedule.ledger import LedgerView, ScheduleKey, SkipReason
from dbtorch.schedule import http as serve_http
from dbtorch.schedule.http import answering, application
from dbtorch.schedule.metrics import Metrics
from dbtorch.schedule.pages import pages_of
from dbtorch.schedule.state import ServeState
from dbtorch.service.history.store import history_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import open_project
from dbtorch.testing.store import MemoryStore
from dbtorch.web.app import Site
from dbtorch.web.app import application as pages
from dbtorch.web.server import hosts_of
from tests.stores import NOON, a_lease, a_run
from tests.waiting import PATIENCE, wait_for
from tests.web.shops import small

DAILY = ScheduleKey("daily", "dev")


def get(port, path, host="localhost", method="GET", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers={"Host": host, **(headers or {})})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


@pytest.fixture
def state():
    return ServeState()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def port(state, store):
    app = application(state, Metrics(state, store), hosts_of("127.0.0.1", ("serve.shop",)))
    with answering(app, "127.0.0.1", 0) as bound:
        yield bound


def numbers(port):
    status, text = get(port, "/metrics")
    assert status == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_it_is_ready_when_a_turn_has_ended_and_dbtorch_yml_can_be_read(state, port):
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz")[0] == 503
    state.turned(LedgerView(now=NOON))
    assert get(port, "/readyz") == (200, "ready\n")
    state.turned_at -= 7200  # somebody has set the clock, and nothing has happened
    assert get(port, "/readyz") == (200, "ready\n")
    state.reloaded(ok=False)
    assert get(port, "/readyz") == (503, "dbtorch.yml is broken\n")
    state.reloaded(ok=True)
    state.failed("cannot connect to postgresql://user@db")
    assert get(port, "/readyz") == (503, "the history does not answer\n")  # and no address
    state.beat -= 1000
    assert get(port, "/healthz")[0] == 503
    state.problem, state.turned_at = "", time.time()
    assert get(port, "/readyz")[0] == 503


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("localhost:8484", 200), ("serve.shop", 200), ("evil.example", 400)],
)
def test_only_who_calls_it_by_a_name_of_its_own_is_answered(port, host, status):
    assert get(port, "/healthz", host)[0] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(port, method):
    assert get(port, "/metrics", method=method)[0] == 405


def test_pages_are_beside_the_rest_and_guard_themselves(state, store, tmp_path):
    small(store=store)
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    options = RunOptions(project_dir=str(tmp_path), environ={})
    site = Site(project_dir=tmp_path, name="shop", store=store, options=options, token="t" * 16)
    hosts = hosts_of("127.0.0.1", ())
    app = application(state, Metrics(state, store), hosts, pages=pages(site, hosts))
    with answering(app, "127.0.0.1", 0, root_path="/dbtorch") as port:
        assert get(port, "/healthz")[0] == get(port, "/metrics")[0] == 200
        assert get(port, "/")[0] == get(port, "/runs/latest")[0] == 401
        assert get(port, "/", host="evil.example")[0] == 400
        with_token = {"Authorization": "Bearer " + "t" * 16}
        status, body = get(port, "/", headers=with_token)
        assert (status, 'data-base="/dbtorch/"' in body) == (200, True)
        assert get(port, "/api/v1/runs?limit=1", headers=with_token)[0] == 200
        assert get(port, "/api/v1/session", method="POST")[0] == 415


@pytest.mark.parametrize(
    ("host", "token", "shown"),
    [("127.0.0.1", "", True), ("0.0.0.0", "", False), ("0.0.0.0", "t" * 16, True)],
)
def test_pages_that_others_reach_need_a_token(tmp_path, host, token, shown):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    project = open_project(str(tmp_path), {})
    options = RunOptions(project_dir=str(tmp_path), environ={})
    history_of(project, options, create=True).close()
    with pages_of(project, options, host, ["localhost"], token) as found:
        assert (found is not None) is shown


def test_numbers_say_what_happened_and_how_things_stand(state, store, port):
    store.begin(a_run("r1", pipeline="daily"), [])
    store.end("r1", RunState.SUCCESS, datetime(2026, 3, 29, 12, 5, tzinfo=UTC))
    state.started(DAILY, 0.3)
    state.skipped(DAILY, SkipReason.OVERLAP)
    state.heard(DAILY, {"event": "node", "state": "failed", "failure_class": "data"})
    state.heard(
        DAILY,
        {
            "event": "run_finished",
            "state": "failed",
            "counts": {"success": 4, "failed": 1, "warn": "some"},
        },
    )
    found = numbers(port)
    assert found["dbtorch_run_last_success_timestamp_seconds", "daily"] == 1774785900
    assert found["dbtorch_run_duration_seconds", "daily"] == 300
    assert found["dbtorch_runs_total", "daily", "failed"] == 1
    assert found["dbtorch_nodes", "daily", "success"] == 4
    assert found["dbtorch_attempts_total", "data"] == 1
    assert found["dbtorch_ticks_skipped_total", "daily", "overlap"] == 1
    assert found["dbtorch_run_start_lateness_seconds_bucket", "0.25"] == 0
    assert found["dbtorch_run_start_lateness_seconds_bucket", "0.5"] == 1
    assert found["dbtorch_alerts_undelivered",] == 0


def test_numbers_say_how_deep_queues_are(store, port):
    lease, _ = store.acquire(a_lease())
    offer = Offer(token="t1", run_id="r1", attempt=Attempt("step.a", 1), queue="crm", code="")
    store.offer(offer, lease)
    found = numbers(port)
    assert found["dbtorch_queue_waiting", "crm"] == 1
    assert found["dbtorch_queue_claimed", "crm"] == 0


def test_a_history_that_does_not_answer_leaves_what_the_server_counts(state, store, port):
    def refuse(_=""):
        raise StoreError("gone")

    store.standing = refuse
    state.started(DAILY, 0.3)
    found = numbers(port)
    assert found["dbtorch_store_up",] == 0
    assert found["dbtorch_run_start_lateness_seconds_count",] == 1


def test_who_never_says_what_he_wants_is_left_and_so_are_too_many(port, monkeypatch):
    """Each connection is a file that runs cannot have."""
    monkeypatch.setattr(serve_http, "LONGEST", 1.0)
    monkeypatch.setattr(serve_http, "MOST_CONNECTIONS", 3)

    def slow():
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        with suppress(OSError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: local")
        return connection

    def is_left(connection):
        with connection, suppress(ConnectionError):
            assert connection.recv(1) == b""

    for one in [slow() for _ in range(9)]:
        is_left(one)
    wait_for(lambda: answers(port))
    with slow() as huge:
        with suppress(ConnectionError):
            huge.sendall(b"x" * (1 << 20))
        with suppress(ConnectionError):
            assert huge.recv(64).startswith(b"HTTP/1.1 400 ") or not huge.recv(1)
    wait_for(lambda: answers(port))


def answers(port):
    with suppress(OSError, http.client.HTTPException):
        return get(port, "/healthz") == (200, "ok\n")


def test_how_it_is_is_said_while_the_history_keeps_everybody_waiting(state, store, port):
    """A probe that is not answered has the server killed, and what it does with it."""
    asked, goes_on = threading.Semaphore(0), threading.Event()

    def standing(target=""):
        asked.release()
        assert goes_on.wait(PATIENCE)
        raise StoreError("it does not answer")

    store.standing = standing
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(get, port, "/metrics") for _ in range(50)]
        for _ in range(40):  # as many threads as there are for it
            assert asked.acquire(timeout=PATIENCE)
        assert get(port, "/healthz") == (200, "ok\n")
        assert get(port, "/readyz")[0] == 503
        goes_on.set()
        assert {one.result()[0] for one in waiting} == {200}


def test_a_port_that_is_taken_is_refused_in_one_sentence(port, state, store):
    again = answering(application(state, Metrics(state, store), []), "127.0.0.1", port)
    with pytest.raises(UsageError, match=f"port {port} .*choose another --port"), again:
        pass
