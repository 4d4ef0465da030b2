"""A backfill that a command drives: it ends with a signal, whatever the history says."""

import io
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from dbtorch.cli.backfilling import drive
from dbtorch.core.config import Config
from dbtorch.core.errors import NotFound, StoreError
from dbtorch.core.model.interval import Interval
from dbtorch.core.schedule.backfill import Backfill, BackfillSpec, BackfillState, Part
from dbtorch.core.schedule.ledger import ScheduleKey
from dbtorch.schedule.drive import Driver, server_of
from dbtorch.schedule.log import Log
from dbtorch.service.schedule.backfills import (
    cancel_backfill,
    driver_of,
    one_backfill,
    pause_backfill,
    progress,
    resume_backfill,
)
from dbtorch.testing.store import MemoryStore
from tests.stores import NOON, a_lease
from tests.unit.serving import SHOP
from tests.waiting import PATIENCE, wait_for


class Failing(MemoryStore):
    """A history that stops answering when it is told to."""

    gone = False

    def backfills(self, **how):
        if self.gone:
            raise StoreError("the history does not answer")
        return super().backfills(**how)


def add(store, id="b-1", pipeline="daily", parts=2):
    days = [NOON + timedelta(days=number) for number in range(parts + 1)]
    made = Backfill(
        id=id,
        key=ScheduleKey(pipeline, "dev (x)"),
        spec=BackfillSpec(),
        created_at=NOON,
        parts=tuple(
            Part(ordinal=number, key=f"{days[number]:%F}", interval=Interval(*days[number:][:2]))
            for number in range(parts)
        ),
    )
    assert store.add_backfill(made) is None


@pytest.fixture
def driver(tmp_path):
    store = Failing(SHOP)
    add(store)
    return Driver(
        store=store,
        project_dir=tmp_path,
        grace=0.0,
        log=Log(io.StringIO()),
        environ={},
        program=("/bin/sh", "-c", f"echo $$ > {tmp_path}/begun; exec sleep 3600"),
    )


def begun(driver):
    path = driver.project_dir / "begun"
    return int(path.read_text()) if path.is_file() and path.read_text().strip() else 0


@pytest.mark.parametrize("gone", [False, True], ids=["well", "the history is gone"])
def test_a_signal_ends_it_with_its_runs_and_leaves_the_rest(driver, gone):
    def interrupt():
        wait_for(lambda: begun(driver))
        driver.store.gone = gone
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    if gone:
        with pytest.raises(StoreError):
            driver.drive("b-1")
    else:
        assert driver.drive("b-1").state is BackfillState.ACTIVE
        assert [part.state for part in driver.store.backfills()[0].parts] == ["waiting"] * 2
    assert driver.received == signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(begun(driver), 0)


def test_a_history_that_never_answered_is_asked_until_a_signal_comes(driver):
    driver.store.gone = True
    asked = threading.Event()
    driver.log.write = lambda *_, **__: asked.set()

    def interrupt():
        asked.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(StoreError):
        driver.drive("b-1")
    assert (driver.received, begun(driver)) == (signal.SIGINT, 0)


def test_a_second_signal_leaves_at_once(tmp_path):
    """In a process of its own: it ends without a word to anybody."""
    script = f"""
import io, os, signal, threading
from pathlib import Path
from dbtorch.schedule.drive import Driver
from dbtorch.schedule.log import Log
from tests.unit.test_drive import Failing, SHOP, add, wait_for
store = Failing(SHOP)
add(store)
def twice():
    begun = Path("{tmp_path}/begun")
    wait_for(lambda: begun.is_file() and begun.read_text())
    def hangs(*given):
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait()
    store.decide_backfill = hangs
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=twice, daemon=True).start()
program = ("/bin/sh", "-c", "echo $$ > {tmp_path}/begun; exec sleep 3600")
Driver(store=store, project_dir=Path("{tmp_path}"), grace=0.0, log=Log(io.StringIO()),
       environ={{}}, program=program).drive("b-1")
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=PATIENCE)
    assert ended.returncode == 128 + signal.SIGTERM
    run = int((tmp_path / "begun").read_text())
    wait_for(lambda: not Path(f"/proc/{run}").exists())


def test_it_is_driven_by_a_server_of_its_project_or_by_a_command_of_its_own():
    store = MemoryStore(SHOP)
    add(store)
    names = (
        "serve/acme/other/1",
        f"{driver_of('b-2')}/acme/shop/2",
        f"{driver_of('b-1')}/acme/other/3",
    )
    for name in names:  # somebody else's
        store.acquire(a_lease(name, name=name))
    assert (server_of(store), [one.driven for one in progress(store)]) == ("", [False])
    for name in (f"{driver_of('b-1')}/acme/shop/4", "serve/acme/shop/5"):
        mine, _ = store.acquire(a_lease(name, name=name))
        assert [one.driven for one in progress(store)] == [True]
        store.release(mine)
    assert [one.driven for one in progress(store)] == [False]


def test_one_is_named_by_its_pipeline_its_id_or_the_beginning_of_that():
    store = MemoryStore(SHOP)
    add(store, "b-12", "daily")
    add(store, "b-13", "b")
    assert [one_backfill(store, text).id for text in ("daily", "b", "b-12", "b-13")] == [
        "b-12", "b-13", "b-12", "b-13"
    ]  # fmt: skip
    for text, why in (
        ("", "there is no backfill"),
        ("weekly", "there is no backfill weekly"),
        ("b-1", "b-1 may be b-12, b-13; name one of them"),
    ):
        with pytest.raises(NotFound, match=why):
            one_backfill(store, text)
    cancel_backfill(store, "daily")
    said = (
        r"no backfill of pipeline daily goes on; name one by its id: the newest is b-12 \(cancelled"
    )
    with pytest.raises(NotFound, match=said):
        pause_backfill(store, "daily")
    assert resume_backfill(store, "b-12").state is BackfillState.ACTIVE


@pytest.mark.parametrize(
    ("state", "code"),
    [(BackfillState.DONE, 0), (BackfillState.PAUSED, 1), (BackfillState.FAILED, 1)],
    ids=str,
)
def test_what_has_not_all_run_is_no_success(tmp_path, capsys, state, code):
    store = MemoryStore(SHOP)
    add(store)
    (one,) = store.backfills(parts=True)
    assert store.decide_backfill(one, [], state)
    assert drive(store, Config(), tmp_path, one, {}) == code
    assert f"backfill b-1 of pipeline daily {state}: 0 of 2 done" in capsys.readouterr().out


def test_where_a_server_runs_it_the_command_only_says_so(tmp_path, capsys):
    store = MemoryStore(SHOP)
    add(store)
    name = "serve/acme/shop/1"
    store.acquire(a_lease(name, name=name, host="server.example.com"))
    assert drive(store, Config(), tmp_path, store.backfills()[0], {}) == 0
    assert "`dbtorch serve` on server.example.com runs it" in capsys.readouterr().out
