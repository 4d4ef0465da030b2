"""Steps on workers: claimed once, never twice at work, lost when nobody hears of their worker."""

import os
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dbtorch.app import remote_steps
from dbtorch.core.errors import QueueError, StoreError
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.model.events import Attempt, Started
from dbtorch.core.model.state import FailureClass, State
from dbtorch.testing.store import MemoryStore
from tests.stores import let_hold, let_pass
from tests.waiting import wait_for
from tests.workers import LOAD, Site

SECOND = Attempt("step.load", 2)


def slow(folder, name="load"):
    """A step that says when it is there, and goes on until it may end."""
    there, may = folder / "there", folder / "may"
    script = (
        f"echo $$ >> {there}; trap 'exit 143' TERM; echo begun;"
        f" while [ ! -e {may} ]; do sleep 0.02; done; echo ended"
    )
    (folder / "slow.sh").write_text(script)
    return f"  {name}: {{command: [sh, {folder}/slow.sh], queue: crm}}\n"


def at_work(folder):
    """Processes of the slow step that were ever there, and those that still are."""
    there = folder / "there"
    pids = there.read_text().split() if there.exists() else []
    return pids, [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def begun(site, attempt=LOAD, count=1):
    """Wait until an attempt at the slow step is at work, the so-many-th of all."""
    site.started(attempt)
    wait_for(lambda: len(at_work(site.dir)[0]) == count)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def slow_site(tmp_path):
    return Site(tmp_path, slow(tmp_path))


def test_a_worker_gives_back_output_and_log(tmp_path):
    site = Site(
        tmp_path,
        '  load: {command: \'echo "$DBTORCH_STEP of {{ var("country") }}";'
        ' echo "{\\"rows\\": 3}" > $DBTORCH_OUTPUT\', queue: crm}\n',
    )
    with site.supervisor(vars={"country": "Österreich"}) as steps, site.worker():
        site.start(steps)
        outcome = site.outcome()
    assert (outcome.state, outcome.output) == (State.SUCCESS, {"rows": 3})
    assert site.outputs == {"load": {"rows": 3}}
    assert site.logs[LOAD] == "load of Österreich\n"
    assert site.events[0] == Started(LOAD)


def test_a_message_that_comes_twice_finds_nothing_to_claim(slow_site, tmp_path):
    with slow_site.supervisor() as steps, slow_site.worker(), slow_site.worker():
        slow_site.start(steps)
        begun(slow_site)
        token = slow_site.store.offers(slow_site.lease_now())[0].token
        for _ in range(4):
            slow_site.messages.send("crm", token)
            wait_for(lambda: not slow_site.messages.waiting("crm"))
        (tmp_path / "may").touch()
        assert slow_site.outcome().state is State.SUCCESS
        slow_site.messages.send("crm", token)
        wait_for(lambda: not slow_site.messages.waiting("crm"))
    assert len(at_work(tmp_path)[0]) == 1


def test_a_message_that_got_lost_is_sent_again(site, monkeypatch):
    monkeypatch.setattr(remote_steps, "SEND_AGAIN", 0.05)
    with site.supervisor() as steps:
        site.start(steps)
        token = site.token()
        site.messages._shared.tokens["crm"].clear()  # its worker took it, and died
        assert site.token() == token
        with site.worker():
            assert site.outcome().state is State.SUCCESS


def test_a_queue_that_is_away_is_tried_again(site, monkeypatch):
    monkeypatch.setattr(remote_steps, "SEND_AGAIN", 0.05)
    away = threading.Event()
    with site.supervisor() as steps, site.worker():
        send = steps._queue.send

        def refuse(queue, token):
            if away.is_set():
                return send(queue, token)
            away.set()
            raise QueueError("the server is away")

        steps._queue.send = refuse
        site.start(steps)
        assert site.outcome().state is State.SUCCESS


def test_a_worker_that_is_gone_is_lost_and_the_next_attempt_goes_to_another(slow_site, tmp_path):
    dead = slow_site.idle_worker(lifetime=30)
    with slow_site.supervisor() as steps:
        slow_site.start(steps)
        claimed = slow_site.store.claim_offer(slow_site.token(), dead.name, timedelta(seconds=30))
        let_pass(slow_site.store, 31)
        outcome = slow_site.outcome()
        assert (outcome.state, outcome.failure_class) == (State.FAILED, FailureClass.TRANSIENT)
        assert outcome.lost
        assert outcome.message == f"worker {dead.name} was not heard of in time"
        assert not slow_site.store.report(claimed.token, dead.name, outcome)
        (tmp_path / "may").touch()
        with slow_site.worker():
            slow_site.start(steps, SECOND)
            assert slow_site.outcome(SECOND).state is State.SUCCESS


def test_a_worker_without_room_for_an_attempt_says_so(site, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with site.supervisor() as steps, site.worker() as worker:
        site.start(steps)
        outcome = site.outcome()
    assert outcome.failure_class is FailureClass.TRANSIENT
    assert not outcome.lost
    assert outcome.message.startswith(f"worker {worker.name} cannot execute it: ")


def test_code_of_another_hash_is_refused_with_one_sentence(site):
    with site.supervisor() as steps:
        site.write("  load: {command: 'echo something else', queue: crm}\n")
        with site.worker() as worker:
            site.start(steps)
            outcome = site.outcome()
    assert outcome.failure_class is FailureClass.CODE
    assert outcome.message.startswith(
        f"worker {worker.name} refuses it: step.load is another one here (its code is "
    )
    assert outcome.message.endswith("driven); deploy the same commit to the run and its workers")
    assert Started(LOAD) not in site.events


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ("  other: {command: 'true'}\n", "has no step.load; deploy the same commit"),
        ("  load: {comand: 'true'}\n", "cannot execute it: "),
    ],
)
def test_a_project_that_cannot_do_it_says_so(site, steps, says):
    with site.supervisor() as supervisor:
        site.write(steps)
        with site.worker():
            site.start(supervisor)
            outcome = site.outcome()
    assert outcome.failure_class is FailureClass.CODE
    assert says in outcome.message


def test_secrets_are_never_written_for_workers(site):
    hide = Scrubber(["hunter22hunter22"])
    with site.supervisor(hide=hide, vars={"key": "hunter22hunter22"}) as steps, site.worker():
        site.start(steps)
        outcome = site.outcome()
    assert outcome.failure_class is FailureClass.CODE
    assert outcome.message == (
        "step load is for queue crm, and vars.key holds a secret, which is not written to the"
        " history that workers read: give it to them in an environment variable"
    )


def test_an_output_with_a_secret_does_not_leave_the_worker(tmp_path):
    site = Site(
        tmp_path,
        '  load: {command: \'echo "{\\"key\\": \\"$DBT_ENV_SECRET_KEY\\"}"'
        " > $DBTORCH_OUTPUT', queue: crm}\n",
    )
    environ = {"PATH": "/usr/bin:/bin", "DBT_ENV_SECRET_KEY": "hunter22hunter22"}
    with site.supervisor() as steps, site.worker(environ=environ):
        site.start(steps)
        outcome = site.outcome()
    assert outcome.failure_class is FailureClass.CODE
    assert outcome.message.startswith("it returned a secret, which a worker does not hand on")
    assert site.outputs == {}
    assert "hunter22" not in str(site.events)


def test_what_is_cancelled_ends_and_reports_and_what_waits_is_withdrawn(slow_site, tmp_path):
    with slow_site.supervisor() as steps:
        slow_site.start(steps)
        slow_site.token()
        steps.cancel(LOAD)
        assert slow_site.outcome().message == "terminated"
        with slow_site.worker():
            slow_site.start(steps, SECOND)
            begun(slow_site, SECOND)
            steps.cancel(SECOND)
            assert slow_site.outcome(SECOND).message == "terminated"
        pids, left = at_work(tmp_path)
        assert (len(pids), left) == (1, [])


def test_a_supervisor_that_leaves_takes_its_steps_along(slow_site, tmp_path):
    with slow_site.worker():
        with slow_site.supervisor() as steps:
            slow_site.start(steps)
            begun(slow_site)
        assert slow_site.ends()
        assert at_work(tmp_path)[1] == []


def test_who_goes_on_with_a_run_starts_nothing_before_the_worker_has_ended(slow_site, tmp_path):
    with ExitStack() as stack:
        stack.enter_context(slow_site.worker())
        first = stack.enter_context(slow_site.supervisor())
        slow_site.start(first)
        begun(slow_site)
        first.kill()  # it hears of nothing any more
        gone = slow_site.lease_now()
        let_hold(slow_site.store, replace(gone, expires_at=gone.acquired_at))
        second = stack.enter_context(slow_site.supervisor(slow_site.lease(pid=1)))
        slow_site.start(second, SECOND)
        begun(slow_site, SECOND, 2)
        pids, left = at_work(tmp_path)
        assert len(pids) == 2
        assert left == pids[1:]  # the first one had gone before


def test_a_worker_ends_what_its_supervisor_has_left(slow_site, tmp_path):
    with slow_site.worker(), slow_site.supervisor() as steps:
        slow_site.start(steps)
        begun(slow_site)
        slow_site.store.release(slow_site.lease_now())
        wait_for(lambda: at_work(tmp_path) == (at_work(tmp_path)[0], []))
        assert slow_site.outcome().state is State.FAILED


class Cut(MemoryStore):
    """What a worker sees of a store whose network may be cut."""

    def __init__(self, whole):
        self.__dict__.update(whole.__dict__)
        self.cut = threading.Event()

    def attend(self, *about):
        if self.cut.is_set():
            raise StoreError("no connection")
        return super().attend(*about)

    def report(self, *about):
        if self.cut.is_set():
            raise StoreError("no connection")
        return super().report(*about)


def test_a_worker_that_is_cut_off_has_ended_before_it_is_lost(slow_site, tmp_path):
    store = Cut(slow_site.store)
    with slow_site.supervisor() as steps, slow_site.worker(store=store, lifetime=3):
        slow_site.start(steps)
        begun(slow_site)
        store.cut.set()
        outcome = slow_site.outcome()
        assert outcome.lost
        assert at_work(tmp_path)[1] == []


def test_a_worker_that_is_told_to_end_says_that_it_may_be_tried_again(slow_site, tmp_path):
    with slow_site.supervisor() as steps, slow_site.worker() as worker:
        slow_site.start(steps)
        begun(slow_site)
        worker.stop()
        worker.end("its worker was told to end (SIGTERM)")
        outcome = slow_site.outcome()
        assert outcome.failure_class is FailureClass.TRANSIENT
        assert outcome.message == "terminated: its worker was told to end (SIGTERM)"
        assert at_work(tmp_path)[1] == []


def test_a_worker_that_is_stopped_ends_what_it_has_and_takes_nothing_more(slow_site, tmp_path):
    with slow_site.supervisor() as steps:
        with slow_site.worker() as worker:
            slow_site.start(steps)
            begun(slow_site)
            worker.stop()
            slow_site.start(steps, Attempt("step.load", 2))
            (tmp_path / "may").touch()
            assert slow_site.outcome().state is State.SUCCESS
        assert slow_site.messages.waiting("crm")
        with slow_site.worker():
            assert slow_site.outcome(SECOND).state is State.SUCCESS


def test_a_claim_that_was_lost_while_the_project_was_read_starts_nothing(slow_site, monkeypatch):
    from dbtorch.service.worker import worker as module

    opened = module.open_project

    def slowly(*about):
        let_pass(slow_site.store, 31)
        slow_site.outcome()
        return opened(*about)

    monkeypatch.setattr(module, "open_project", slowly)
    with slow_site.supervisor() as steps:
        slow_site.start(steps)
        worker = slow_site.idle_worker(lifetime=30)
        worker._every = 3600.0  # nobody tells it
        worker.work(slow_site.token())
        assert slow_site.outcome().lost
    assert at_work(slow_site.dir) == ([], [])


def test_what_nobody_has_in_hand_any_more_is_called_off_before_the_next_attempt(slow_site):
    with slow_site.supervisor() as steps, slow_site.worker():
        slow_site.start(steps)
        begun(slow_site)
        with steps._news:
            steps._open.pop(LOAD)  # as after a fault of our own
        slow_site.start(steps, SECOND)
        begun(slow_site, SECOND, 2)
        first, *_ = at_work(slow_site.dir)[0]
        assert not Path(f"/proc/{first}").exists()


def test_a_log_may_be_long_and_hold_anything(tmp_path):
    (tmp_path / "long.py").write_text(
        "import sys\nfor n in range(40_000): print(n, 'ö' * 10)\nsys.stdout.buffer.write(b'\\xff\\0')\n"
    )
    site = Site(tmp_path, "  load: {command: 'python3 long.py', queue: crm}\n")
    environ = {**os.environ}
    with site.supervisor() as steps, site.worker(environ=environ):
        site.start(steps)
        assert site.outcome().state is State.SUCCESS
    assert site.logs[LOAD].splitlines()[39_999] == "39999 " + "ö" * 10
    assert site.logs[LOAD].endswith("\ufffd\ufffd")
