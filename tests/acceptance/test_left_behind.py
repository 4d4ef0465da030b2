"""Nothing a run started outlives its supervisor: no step, no worker, no query."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.acceptance.workspace import Running, Workspace, eventually
from tests.engines import PROCESS_1_11, SESSION_1_11, Can, over, shows

RUN = ("run", "--log-format", "json", "--retry-delay", "0")

FAMILY = """
    steps:
      family: {command: "sleep 300 & setsid sleep 300 & sleep 300"}
"""

#: Takes for ever.
SLOW = """
    {{ config(materialized='table') }}
    select count(*) as n from pg_sleep(600)
"""


def guards(supervisor: int) -> set[int]:
    """What ends what is left, which has no environment to be found by."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
            words = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(parent) == supervisor and (b"reaping.py" in words or b"keeper" in words):
            found.add(int(stat.parent.name))
    return found


def kill_everybody_who_would_end_it(run: Running) -> None:
    os.kill(run.pid, signal.SIGSTOP)  # or it would still notice that the others have gone
    for pid in [*guards(run.pid), run.pid]:
        os.kill(pid, signal.SIGKILL)
    run.process.wait()


def wait_for_family(workspace: Workspace, run: Running) -> None:
    run.wait_for_node("step.family")
    assert eventually(lambda: sleepers(workspace) == 3)


def sleepers(workspace: Workspace) -> int:
    words = [_words(pid) for pid in workspace.processes()]
    return sum(found.startswith(b"sleep\0") for found in words)


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_steps_end_when_their_supervisor_is_killed(workspace: Workspace) -> None:
    workspace.write({"dbtorch.yml": FAMILY, "models/a.sql": "select 1 as id"})
    with workspace.started(*RUN) as run:
        wait_for_family(workspace, run)
        run.process.kill()
        assert workspace.is_quiet()


def test_a_retry_ends_first_what_the_supervisor_and_its_guard_left(workspace: Workspace) -> None:
    workspace.write({"dbtorch.yml": FAMILY, "models/a.sql": "select 1 as id"})
    with workspace.started(*RUN) as run:
        wait_for_family(workspace, run)
        kill_everybody_who_would_end_it(run)
        assert sleepers(workspace) == 3
        workspace.write({"dbtorch.yml": "steps: {family: {command: 'true'}}"})
        done = workspace.dbtorch("retry")
        assert "processes that an earlier run left behind" in done.out
        assert sleepers(workspace) == 0
    assert workspace.show().state == "success"


def test_a_new_run_of_the_pipeline_does_so_too(workspace: Workspace) -> None:
    workspace.write({"dbtorch.yml": FAMILY, "models/a.sql": "select 1 as id"})
    with workspace.started(*RUN) as run:
        wait_for_family(workspace, run)
        kill_everybody_who_would_end_it(run)
        workspace.write({"dbtorch.yml": "steps: {family: {command: 'true'}}"})
        assert "left behind" in workspace.dbtorch("run").out
        assert sleepers(workspace) == 0


#: A Python model that starts what gets away from it: a copy of dbt, and others without a trace.
AWAY = """
import os, subprocess, time
import multiprocessing

def model(dbt, session):
    if os.fork() == 0:
        os.setsid()
        time.sleep({t})
        os._exit(0)
    multiprocessing.get_context("spawn").Semaphore()  # has a process of its own
    subprocess.run("env -i setsid -f sleep {t}; (setsid sleep {t} >/dev/null 2>&1 &)", shell=True)
    open("ready", "w").close()
    {more}
    return session.sql("select 1 as id")
"""


def started_by_model(seconds: int) -> int:
    """How many processes sleep so long, whatever their environment."""
    found = 0
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        words = _words(int(file.parent.name)).split(b"\0")
        found += words[:2] == [b"sleep", str(seconds).encode()]
    return found


@over(SESSION_1_11, PROCESS_1_11)
def test_what_a_model_started_ends_with_the_run(workspace: Workspace) -> None:
    seconds = 10_000_000 + os.getpid()
    workspace.write({"models/a.py": AWAY.format(t=seconds, more="pass")})
    done = workspace.dbtorch("run")
    assert done.code == 0, done.out
    assert started_by_model(seconds) == 0
    assert workspace.processes() == set()


#: A program of somebody's, which does not give dbtorch its orphans.
FROM_PYTHON = "import dbtorch, sys; sys.exit(not dbtorch.Project('.').run().ok)"


def test_what_a_model_started_ends_with_a_run_from_python(workspace: Workspace) -> None:
    seconds = 30_000_000 + os.getpid()
    workspace.write({"models/a.py": AWAY.format(t=seconds, more="pass")})
    words = [sys.executable, "-c", FROM_PYTHON]
    subprocess.run(words, cwd=workspace.dir, env=workspace.environ(), check=True)
    assert started_by_model(seconds) == 0
    assert workspace.processes() == set()


@over(SESSION_1_11, PROCESS_1_11)
def test_what_a_model_started_ends_when_the_supervisor_is_killed(workspace: Workspace) -> None:
    seconds = 20_000_000 + os.getpid()
    workspace.write({"models/a.py": AWAY.format(t=seconds, more="time.sleep(600)")})
    with workspace.started(*RUN) as run:
        assert eventually((workspace.dir / "ready").exists)
        assert eventually(lambda: started_by_model(seconds) == 2)  # some begin after their parent
        run.process.kill()
        assert workspace.is_quiet()
        assert eventually(lambda: started_by_model(seconds) == 0)


# ---------------------------------------------------------------------------- queries


@contextmanager
def building(workspace: Workspace, url: str) -> Iterator[Running]:
    """A run whose query takes for ever, on Postgres."""
    parts = urlsplit(url)
    workspace.write(
        {
            "profiles.yml": f"""
                shop:
                  target: dev
                  outputs:
                    dev:
                      type: postgres
                      host: {parts.hostname}
                      port: {parts.port or 5432}
                      user: {parts.username}
                      password: "{parts.password or ""}"
                      dbname: {parts.path.removeprefix("/")}
                      schema: left_behind
                      threads: 2
            """,
            "models/slow.sql": SLOW,
        }
    )
    with workspace.started(*RUN) as run:
        run.wait_for_node("model.shop.slow")
        assert eventually(lambda: queries(url) == 1)
        yield run


def queries(url: str) -> int:
    """Queries that sleep in this database."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity where datname = current_database()"
            " and state <> 'idle' and query like '%pg_sleep%' and pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.postgres
@over(SESSION_1_11, PROCESS_1_11)
@shows(Can.DEAD_QUERY)
def test_a_query_ends_when_the_supervisor_is_killed(
    workspace: Workspace, postgres_database: str
) -> None:
    with building(workspace, postgres_database) as run:
        run.process.kill()
        assert eventually(lambda: queries(postgres_database) == 0)
        assert workspace.is_quiet()


@pytest.mark.postgres
def test_a_query_ends_when_the_worker_is_killed(
    workspace: Workspace, postgres_database: str
) -> None:
    with building(workspace, postgres_database) as run:
        (workspace.dir / "models" / "slow.sql").write_text("select 1 as n")
        os.kill(workspace.dbts()[0], signal.SIGKILL)
        # the next attempt may have begun a second query of its own by now
        done = run.ended()
    assert done.code == 0, done.out
    assert queries(postgres_database) == 0
    first, second = workspace.show().nodes["slow"]["attempts"]
    assert (first["state"], second["state"]) == ("failed", "success")


@pytest.mark.postgres
def test_a_query_ends_when_everything_is_killed_at_once(
    workspace: Workspace, postgres_database: str
) -> None:
    with building(workspace, postgres_database):
        workspace.lose_power()
        # Postgres itself misses its client
        assert eventually(lambda: queries(postgres_database) == 0)
