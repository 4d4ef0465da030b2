"""What everything promises that brings word of work to workers."""

import threading
from contextlib import ExitStack, suppress

import pytest

from dbtorch.adapters.queue import on_dask
from dbtorch.adapters.queue.on_dask import DaskQueue
from dbtorch.adapters.queue.on_postgres import PostgresQueue
from dbtorch.core.errors import QueueError
from dbtorch.testing import MemoryQueue
from tests.dask_scheduler import dask_scheduler
from tests.waiting import PATIENCE, wait_for


class Serving:
    """Somebody who serves queues from a thread, and remembers what has come."""

    def __init__(self, messages, *queues, at_once=1, work=lambda token: None):
        self.came = []
        self.messages = messages
        self._work = work
        self._thread = threading.Thread(
            target=messages.serve, args=(queues, self._take), kwargs={"at_once": at_once}
        )
        self._thread.start()

    def _take(self, token):
        self.came.append(token)
        self._work(token)

    def stop(self):
        self.messages.stop()

    @property
    def ended(self):
        return not self._thread.is_alive()

    def join(self):
        self._thread.join(PATIENCE)
        assert self.ended

    def close(self):
        self.stop()
        self.join()
        self.messages.close()


class Apart(DaskQueue):
    """One whose queues are those of one test, in a cluster of many."""

    def __init__(self, address, test):
        super().__init__(address)
        self._test = test

    def send(self, queue, token):
        super().send(f"{self._test}-{queue}", token)

    def serve(self, queues, work, *, at_once):
        super().serve([f"{self._test}-{queue}" for queue in queues], work, at_once=at_once)


@pytest.fixture(scope="module")
def dask_address(tmp_path_factory):
    """Of a scheduler."""
    with dask_scheduler(tmp_path_factory.mktemp("dask")) as address:
        yield address


@pytest.fixture(params=["memory", "dask", pytest.param("postgres", marks=pytest.mark.postgres)])
def another(request):
    """Makes what another process would have: another one beside the others."""
    if request.param == "memory":
        return MemoryQueue().beside
    if request.param == "dask":
        address, apart = request.getfixturevalue("dask_address"), request.node.name
        return lambda: Apart(address, apart)
    url = request.getfixturevalue("postgres_url")
    return lambda: PostgresQueue(url)


@pytest.fixture
def serving(another):
    """Begins to serve queues; whoever does has ended at the end of the test."""
    with ExitStack() as stack:

        def begin(*queues, **more):
            one = Serving(another(), *queues, **more)
            stack.callback(one.close)
            return one

        yield begin


@pytest.fixture
def sender(another):
    one = another()
    yield one
    one.close()


def test_a_token_comes_whether_it_was_sent_before_or_after(sender, serving):
    sender.send("crm", "early")
    crm = serving("crm")
    wait_for(lambda: crm.came == ["early"])
    sender.send("crm", "late")
    wait_for(lambda: crm.came == ["early", "late"])


def test_a_token_that_waits_already_comes_once(sender, serving):
    for token in ("a", "a", "b", "a"):
        sender.send("crm", token)
    crm = serving("crm")
    wait_for(lambda: sorted(crm.came) == ["a", "b"])  # in any order
    sender.send("crm", "a")  # and once more after it was taken
    wait_for(lambda: crm.came[2:] == ["a"])


def test_who_serves_some_queues_hears_nothing_of_others(sender, serving):
    gpu, rest = serving("gpu"), serving("crm", "mail")
    for number, queue in enumerate(("crm", "gpu", "mail", "nobody's")):
        sender.send(queue, str(number))
    wait_for(lambda: sorted(rest.came) == ["0", "2"])
    wait_for(lambda: gpu.came == ["1"])


def test_of_two_one_gets_it(sender, serving):
    two = [serving("crm"), serving("crm")]
    tokens = [str(number) for number in range(20)]
    for token in tokens:
        sender.send("crm", token)
    wait_for(lambda: sum(len(one.came) for one in two) == len(tokens))
    assert sorted(two[0].came + two[1].came) == sorted(tokens)


def test_no_more_at_once_than_it_is_told(sender, serving):
    full = threading.Barrier(3)  # two that work, and the test
    crm = serving("crm", at_once=2, work=lambda _: full.wait(PATIENCE))
    for token in "abcd":
        sender.send("crm", token)
    for came in (2, 4):
        wait_for(lambda: full.n_waiting == 2)
        assert len(crm.came) == came
        full.wait(PATIENCE)
    assert sorted(crm.came) == ["a", "b", "c", "d"]


def test_who_is_stopped_takes_nothing_more_and_ends_with_what_he_has(sender, serving):
    begun, goes_on = threading.Event(), threading.Event()

    def work(token):
        begun.set()
        assert goes_on.wait(PATIENCE)

    crm = serving("crm", work=work)
    sender.send("crm", "a")
    assert begun.wait(PATIENCE)
    crm.stop()
    sender.send("crm", "b")
    assert not crm.ended
    goes_on.set()
    crm.join()
    assert crm.came == ["a"]
    crm.stop()  # once more changes nothing
    later = serving("crm")
    wait_for(lambda: later.came == ["b"])


def test_work_that_fails_is_logged_and_keeps_nobody_from_the_next(sender, serving, caplog):
    def work(token):
        raise RuntimeError(token)

    crm = serving("crm", work=work)
    sender.send("crm", "a")
    sender.send("crm", "b")
    wait_for(lambda: sorted(crm.came) == ["a", "b"])
    wait_for(lambda: {"token a", "token b"} <= {one.getMessage() for one in caplog.records})


def test_who_was_stopped_before_begins_nothing(sender, another):
    messages = another()
    messages.stop()
    sender.send("crm", "a")
    one = Serving(messages, "crm")
    one.join()
    assert one.came == []
    messages.close()


def test_a_dask_cluster_that_is_away_is_an_error_to_who_sends_and_waited_for_by_who_serves(
    tmp_path, monkeypatch, request
):
    monkeypatch.setattr(on_dask, "_CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(on_dask, "_TRY_AGAIN", 0.1)
    with dask_scheduler(tmp_path) as address:
        sender = DaskQueue(address)
        request.addfinalizer(sender.close)
        crm = Serving(DaskQueue(address), "crm")
        request.addfinalizer(crm.close)
        sender.send("crm", "a")
        wait_for(lambda: crm.came == ["a"])
    another = DaskQueue(address)
    request.addfinalizer(another.close)
    with pytest.raises(QueueError, match=rf"the Dask cluster at {address} does not work: "):
        another.send("crm", "b")
    with dask_scheduler(tmp_path, int(address.rpartition(":")[2])):

        def sent_again():  # as the supervisor does
            with suppress(QueueError):
                sender.send("crm", "c")
            return "c" in crm.came

        wait_for(sent_again)
        crm.close()


@pytest.mark.postgres
def test_a_server_that_is_away_is_an_error_to_who_sends():
    with pytest.raises(QueueError, match=r"the queue in postgresql://u@127.0.0.1:1/db does not"):
        PostgresQueue("postgresql://u:secret@127.0.0.1:1/db").send("crm", "a")


@pytest.mark.postgres
def test_who_serves_comes_back_when_his_connections_were_cut(postgres_url, serving, request):
    psycopg = pytest.importorskip("psycopg")
    sender = PostgresQueue(postgres_url)
    request.addfinalizer(sender.close)
    crm = Serving(PostgresQueue(postgres_url), "crm")
    request.addfinalizer(crm.close)
    sender.send("crm", "a")
    wait_for(lambda: crm.came == ["a"])
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'dbtorch-queue' AND datname = current_database()"
        )
    sender.send("crm", "b")
    wait_for(lambda: crm.came == ["a", "b"])
