"""What `dbtorch worker`, and a run with steps for workers, refuse before anything begins."""

import io
import sys
from contextlib import contextmanager

import pytest

from dbtorch.adapters.queue.on_dask import DaskQueue
from dbtorch.adapters.queue.on_postgres import PostgresQueue
from dbtorch.cli import working
from dbtorch.cli.main import main
from dbtorch.core.config import Origin, StepSpec
from dbtorch.core.errors import UsageError
from dbtorch.service.project.options import RunOptions
from dbtorch.service.wiring.queue import VARIABLE, address, open_queue, queue_for
from tests.workers import Site

LOAD = StepSpec(name="load", type="command", action="true", queue="crm")
STEPS = {"load": LOAD, "near": StepSpec(name="near", type="command", action="true")}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def refused(site, capsys, *words, url=""):
    more = ["--database-url", url] if url else []
    assert main(["worker", *words, "--project-dir", str(site.dir), *more]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_a_queue_that_no_step_has_is_refused(site, capsys):
    assert refused(site, capsys, "--queue", "cmr") == (
        "Error: no step of the project has queue cmr; its queues are crm\n"
    )
    site.write("  load: {command: 'true'}\n")
    assert refused(site, capsys, "--queue", "crm") == (
        "Error: no step of the project has queue crm; it has none\n"
    )


@pytest.mark.parametrize("url", ["", "sqlite:///runs.db"])
def test_a_history_that_nobody_shares_is_refused(site, capsys, url):
    assert refused(site, capsys, "--queue", "crm", url=url) == (
        "Error: a worker of queue crm works for others, who share a history in Postgres with"
        " whoever drives the run: name one with --database-url postgresql://host/database\n"
    )


def test_a_worker_whose_queue_breaks_has_not_ended_well(site, monkeypatch):
    """Whatever starts it again when it fails would leave it alone."""

    @contextmanager
    def opened(*_):
        worker = site.idle_worker()
        worker._messages.serve = lambda *_, **__: 1 / 0
        yield worker

    monkeypatch.setattr(working, "opened_worker", opened)
    with pytest.raises(ZeroDivisionError):
        working.work(RunOptions(), ["crm"], 1, io.StringIO())


def test_a_run_says_which_step_needs_a_history_that_workers_read():
    step = StepSpec(
        name="load", type="command", action="true", queue="crm", origin=Origin(file="d.yml", line=3)
    )
    with pytest.raises(UsageError) as refused:
        queue_for({"load": step}, ["step.load"], None)
    assert str(refused.value).startswith(
        "d.yml:3: step load is for workers of queue crm, who share a history in Postgres"
    )


def test_what_is_not_run_needs_no_workers():
    assert queue_for(STEPS, ["step.near", "model.shop.a"], None) is None
    messages = queue_for(STEPS, ["step.load"], "postgresql://u@nowhere/db")
    assert isinstance(messages, PostgresQueue)  # nobody is asked yet


def test_word_goes_where_the_environment_says():
    url = "postgresql://u@nowhere/db"
    found = queue_for(STEPS, ["step.load"], url, {VARIABLE: "tcp://dask:8786"})
    assert isinstance(found, DaskQueue)  # nobody is asked yet
    with pytest.raises(UsageError, match="DBTORCH_QUEUE_URL is 'dask:8786'; give the address of"):
        queue_for(STEPS, ["step.load"], url, {VARIABLE: "dask:8786"})
    with pytest.raises(UsageError, match="who share a history in Postgres"):
        queue_for(STEPS, ["step.load"], None, {VARIABLE: "tcp://dask:8786"})


def test_a_missing_dask_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        UsageError, match=r"a queue in a Dask cluster needs distributed: .*\[dask\]"
    ):
        open_queue("postgresql://u@nowhere/db", "a worker", {VARIABLE: "tcp://dask:8786"})


def test_queues_of_projects_are_apart():
    assert address("acme/shop", "crm") != address("acme/other", "crm")
    assert len(address("a" * 500, "q" * 64)) <= 128  # what the database holds
