"""What pages cost over a long history: the overview, a run of 3,000 nodes, a look at a run.

    python benchmarks/ui.py [--runs 10000] [--nodes 500] [--url postgresql://...]

The history is one run copied by the database itself, so that millions of attempts take minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
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

TABLES = ("dbtorch_runs", "dbtorch_run_nodes", "dbtorch_attempts", "dbtorch_transitions")
RUN = "20260301T120000Z-cccccc"


def copy(store: SqlStore, runs: int) -> None:
    """So many runs more, each an hour before the last one."""

    def work(transaction: Transaction, first: int, last: int) -> None:
        for table in TABLES:
            row = transaction.one(f"SELECT * FROM {table} WHERE run_id = :run", {"run": RUN})
            assert row is not None
            names = [name for name in dict(row) if name != "run_id"]
            is_run = table == "dbtorch_runs"
            found = [":at" if is_run and name == "started_at" else name for name in names]
            text = (
                f"INSERT INTO {table} (run_id, {', '.join(names)})"
                f" SELECT :new, {', '.join(found)} FROM {table} WHERE run_id = :run"
            )
            for number in range(first, last):
                at = moment(NOON - timedelta(hours=number + 1))
                values = {"run": RUN, "new": f"copy-{number:06}"}
                transaction.run(text, {**values, "at": at} if is_run else values)

    for first in range(0, runs, 200):
        store._database.write(work, first, min(runs, first + 200))  # noqa: SLF001


def timed(name: str, work: Callable[[], object], times: int = 7) -> float:
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - begun))
    print(f"{name:<44} {median(spent):8.1f} ms  (best {min(spent):.1f})", flush=True)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
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
                "home.html", base="/", version="", VERSION="", project="shop", seen=site.overview()
            )

        def run() -> str:
            page = run_page(store, f"{RUN}-large", project_dir=shop, logs=False)
            return render(
                "run.html",
                base="/",
                version="",
                VERSION="",
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
        store.close()


if __name__ == "__main__":
    main()
