"""What pages cost over a long history: the overview, a run of 3,000 nodes, twenty who watch one.

    python benchmarks/ui.py [--runs 2000] [--nodes 500] [--url postgresql://...]

The history is one run that the database itself copies, without its transitions: no page reads those
of many runs. `--runs 10000` makes 5 million attempts (SQLite: 5 GB, a quarter of an hour).
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from dbtorch.adapters.store import open_store
from dbtorch.adapters.store.database import Transaction
from dbtorch.adapters.store.rows import moment
from dbtorch.adapters.store.sql import SqlStore
from dbtorch.service.history.run_page import page_json, run_page
from dbtorch.service.project.options import RunOptions
from dbtorch.web.app import Site, application
from dbtorch.web.feed import changes
from dbtorch.web.pages import data, render
from dbtorch.web.server import answering
from tests.unit.story import NOON
from tests.web.shops import large
from tests.web.test_ui import Live

RUN = "20260301T120000Z-cccccc"

#: The index that is made anew when all is there: keeping it up to date would take hours.
DURATIONS = "dbtorch_attempts_durations"
OF_DURATIONS = (
    "ON dbtorch_attempts (project, target, node_id, finished_at, started_at)"
    " WHERE state IN ('success', 'warn') AND started_at IS NOT NULL"
)

#: Runs that one transaction writes.
MANY = 200


def columns(transaction: Transaction, table: str, *without: str) -> str:
    row = transaction.one(f"SELECT * FROM {table} WHERE run_id = :run", {"run": RUN})
    assert row is not None
    return ", ".join(name for name in dict(row) if name not in without)


def copy(store: SqlStore, runs: int) -> None:
    """So many runs more, each an hour before the last one."""
    take_time = store._database.driver.take_time  # noqa: SLF001

    def work(transaction: Transaction, first: int, last: int) -> None:
        if take_time is not None:
            transaction.run(take_time)
        names = columns(transaction, "dbtorch_runs", "run_id", "started_at")
        for number in range(first, last):
            values = {
                "run": RUN,
                "new": f"copy-{number:06}",
                "at": moment(NOON - timedelta(hours=number + 1)),
            }
            transaction.run(
                f"INSERT INTO dbtorch_runs (run_id, started_at, {names})"
                f" SELECT :new, :at, {names} FROM dbtorch_runs WHERE run_id = :run",
                values,
            )
        for table in ("dbtorch_run_nodes", "dbtorch_attempts"):
            names = columns(transaction, table, "run_id")
            found = ", ".join(f"t.{name}" for name in names.split(", "))
            transaction.run(
                f"INSERT INTO {table} (run_id, {names}) SELECT r.run_id, {found}"
                f" FROM dbtorch_runs r CROSS JOIN {table} t WHERE t.run_id = :run"
                " AND r.run_id >= :first AND r.run_id < :last",
                {"run": RUN, "first": f"copy-{first:06}", "last": f"copy-{last:06}"},
            )

    store._database.write(Transaction.run, f"DROP INDEX {DURATIONS}")  # noqa: SLF001
    for first in range(0, runs, MANY):
        store._database.write(work, first, min(runs, first + MANY))  # noqa: SLF001
    store._database.write(made_anew, take_time)  # noqa: SLF001


def made_anew(transaction: Transaction, take_time: str | None) -> None:
    if take_time is not None:
        transaction.run(take_time)
    transaction.run(f"CREATE INDEX {DURATIONS} {OF_DURATIONS}")


def timed(name: str, work: Callable[[], object], times: int = 7) -> float:
    """Milliseconds, and those of CPU, which others on the machine change less."""
    spent, cpu = [], []
    for _ in range(times):
        begun, worked = time.perf_counter(), time.process_time()
        work()
        spent.append(1000 * (time.perf_counter() - begun))
        cpu.append(1000 * (time.process_time() - worked))
    print(f"{name:<44} {median(spent):8.1f} ms  (best {min(spent):.1f}, CPU {min(cpu):.1f})")
    return median(spent)


def painted(site: Site) -> None:
    """Milliseconds in a browser until the rows in sight are drawn."""
    from tests.browser import CHROMIUM, Browser

    if CHROMIUM is None:
        print("no chromium: nothing is painted")
        return
    with (
        tempfile.TemporaryDirectory() as profile,
        answering(application(site, ["127.0.0.1"]), "127.0.0.1", 0) as port,
    ):
        browser = Browser(Path(profile))
        seen = []
        for _ in range(5):
            browser.open(f"http://127.0.0.1:{port}/runs/{RUN}-large")
            seen.append(browser.js("performance.getEntriesByName('rows')[0].startTime"))
        browser.close()
    print(
        f"{'run of 3,000 nodes, rows in sight drawn':<44} {median(seen):8.1f} ms after the request"
    )


def drain(one: socket.socket) -> None:
    while one.recv(1 << 16):
        pass


def watch(port: int, run: str, count: int) -> None:
    """So many who read what is said of a run as it goes on, in a process of their own."""
    watching = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(
            f"GET /api/v1/runs/{run}/events?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        )
        watching.append(threading.Thread(target=drain, args=(one,)))
    for one in watching:
        one.start()
    for one in watching:
        one.join()


def watched(site: Site, count: int, seconds: float = 20.0) -> None:
    """CPU that those who watch cost, of the wall of a run whose nodes change all the time."""
    live = Live(site.store, f"{RUN}-live-{count}")
    with answering(application(site, ["127.0.0.1"]), "127.0.0.1", 0) as port:
        asking = multiprocessing.get_context("fork").Process(
            target=watch, args=(port, live.id, count)
        )
        asking.start()
        time.sleep(1)  # until all of them are there
        begun, cpu, own = time.monotonic(), time.process_time(), time.thread_time()
        turns = len(live.turns)
        for turn in range(turns):
            live.on()
            time.sleep(max(0.0, begun + seconds * (turn + 1) / turns - time.monotonic()))
        wall = time.monotonic() - begun
        spent = time.process_time() - cpu - (time.thread_time() - own)
        live.finish()
        lease = site.store.driver(live.id)
        assert lease is not None
        site.store.release(lease)
        asking.join(5)
        asking.kill()
    text = f"{count} who watch a run, CPU of the server"
    print(f"{text:<44} {100 * spent / wall:8.2f} % of its wall", flush=True)


def main() -> None:
    gc.set_threshold(200_000)  # as the command does
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--url")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shop = Path(folder)
        (shop / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
        store = open_store(said.url, shop)
        large(said.nodes, store=store)
        begun = time.monotonic()
        copy(store, said.runs)
        large(3000, store=store, run_id=f"{RUN}-large")
        print(f"{said.runs} runs of {said.nodes} nodes in {time.monotonic() - begun:.0f} s")
        options = RunOptions(project_dir=str(shop), database_url=said.url, environ={})
        site = Site(project_dir=shop, name="shop", store=store, options=options)

        def home() -> str:
            site._overview = None  # noqa: SLF001
            return render(
                "home.html",
                base="/",
                version="",
                VERSION="",
                acts=False,
                project="shop",
                seen=site.overview(),
            )

        def run() -> str:
            page = run_page(store, f"{RUN}-large", project_dir=shop, logs=False)
            return render(
                "run.html",
                base="/",
                version="",
                VERSION="",
                acts=False,
                project="shop",
                page=page,
                data=data({**page_json(page), "base": "/"}),
            )

        timed("overview, worked out and rendered", home)
        timed("run of 3,000 nodes, read and rendered", run)
        last = store.run_changes(f"{RUN}-large", after=0).sequence  # type: ignore[union-attr]
        timed(
            "a look at a run in which nothing changed",
            lambda: store.run_changes(f"{RUN}-large", after=last),
            50,
        )
        timed(
            "a look at a run in which 4 nodes changed",
            lambda: changes(store, f"{RUN}-large", last - 4),
            50,
        )
        painted(site)
        for count in (0, 1, 20):
            watched(site, count)
        store.close()


if __name__ == "__main__":
    main()
