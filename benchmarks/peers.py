"""CPU and wall of a DAG run of dbtorch against one of Cosmos, LOCAL and WATCHER, on one project.

Each side is an Airflow of its own, whole: scheduler, LocalExecutor, triggerer, DAG processor and
API server, as `airflow standalone` starts them. What a DAG run costs is the CPU of all its
processes from its trigger to its end, without what they take while nothing runs. LOCAL runs one
task at a time, as two dbts cannot write one DuckDB file. Environments of their own, made by pip.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from measure import Target, Usage, cpus, give_up, parser, print_medians, spend, verdict, workshop
from project import layers, write_project

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.environments import AIRFLOW, Recipe, Unavailable, kept  # noqa: E402

#: Cosmos beside the dbt that it calls in the same process, as its fastest way is.
COSMOS = Recipe(
    name="cosmos",
    requirements=(
        *AIRFLOW.requirements,
        "astronomer-cosmos==1.15.*",
        "dbt-core==1.11.*",
        "dbt-duckdb==1.11.*",
    ),
)

_COSMOS = """
# Airflow reads only files that have its name in them.
from datetime import datetime
from pathlib import Path
from cosmos import DbtDag, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, LoadMode, TestBehavior

project = Path({project!r})
dag = DbtDag(
    dag_id={name!r},
    project_config=ProjectConfig(project, manifest_path=project / "target" / "manifest.json"),
    profile_config=ProfileConfig(
        profile_name="bench", target_name="dev", profiles_yml_filepath=project / "profiles.yml"
    ),
    execution_config=ExecutionConfig(execution_mode=ExecutionMode.{mode}),
    render_config=RenderConfig(load_method=LoadMode.DBT_MANIFEST, test_behavior=TestBehavior.NONE),
    start_date=datetime(2026, 1, 1),
    schedule=None,
    max_active_tasks={most},
)
"""
_OURS = """
from dbtorch.integrations.airflow import dbtorch_dag

dag = dbtorch_dag({project!r}, dag_id={name!r}, schedule=None)
"""
#: Side -> its environment, and the text of its DAG file.
SIDES = {
    "dbtorch": (AIRFLOW, _OURS),
    "LOCAL": (COSMOS, _COSMOS),
    "WATCHER": (COSMOS, _COSMOS),
}


#: Seconds for Airflow to be there, and for a DAG run; what takes longer hangs.
_PATIENCE = 1800

#: Seconds over which is measured what Airflow takes while nothing runs.
_IDLE = 45.0


class Airflow:
    """One Airflow with one DAG, entered while it is up."""

    def __init__(self, folder: Path, name: str, python: Path, models: int, dbt: list[str]) -> None:
        self._dag = f"x-{name}"
        self._python = str(python)
        self._folder = folder
        project = write_project(folder / "project", layers(models), threads=4)
        (project / "dbtorch.yml").write_text(f"engine: {{python: {sys.executable}}}\n")
        dags = folder / "dags"
        dags.mkdir()
        most = 1 if name == "LOCAL" else 16
        text = SIDES[name][1].format(project=str(project), name=self._dag, mode=name, most=most)
        (dags / "one.py").write_text(text)
        api, *logs = (str(free_port()) for _ in range(3))
        self._environ = {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{api}",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": api,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": logs[0],
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": logs[1],
            "PYTHONPATH": str(ROOT),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "DBT_PROFILES_DIR": str(project),
            "DO_NOT_TRACK": "1",
        }
        spend([*dbt, "parse"], cwd=project, environ=self._environ)
        # reads what is on the disk, and lets dbtorch and Cosmos remember it
        spend([self._python, str(dags / "one.py")], cwd=project, environ=self._environ)
        self._project = project

    def __enter__(self) -> Self:
        self._log = (self._folder / "airflow.log").open("w")
        self._process = subprocess.Popen(
            [self._python, "-m", "airflow", "standalone"],
            cwd=self._project,
            env={**os.environ, **self._environ},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._until(lambda: self._asked("SELECT 1 FROM serialized_dag WHERE dag_id = ?"))
        time.sleep(_IDLE / 2)  # until it has settled
        return self

    def __exit__(self, *_: object) -> None:
        tree = processes(self._process.pid)
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            for pid in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def idle(self) -> float:
        """Seconds of CPU that a second of it takes while nothing runs."""
        before = cpu_of(self._process.pid)
        time.sleep(_IDLE)
        return (cpu_of(self._process.pid) - before) / _IDLE

    def run(self) -> Usage:
        """One DAG run to its end. One that does not succeed ends the benchmark."""
        trigger = [self._python, "-m", "airflow", "dags", "trigger", self._dag]
        before = cpu_of(self._process.pid)
        spend(trigger, cwd=self._project, environ=self._environ)
        began = time.perf_counter()
        self._until(lambda: self._states()[-1] in ("success", "failed"))
        wall = time.perf_counter() - began
        usage = Usage(wall=wall, cpu=cpu_of(self._process.pid) - before)
        if self._states()[-1] != "success":
            give_up(f"the DAG run failed: see {self._folder}")
        return usage

    def _states(self) -> list[str]:
        found = self._asked("SELECT state FROM dag_run WHERE dag_id = ? ORDER BY id")
        return [str(state) for (state,) in found] or ["none"]

    def _asked(self, query: str) -> list[tuple[object, ...]]:
        try:
            with contextlib.closing(
                sqlite3.connect(self._folder / "airflow" / "airflow.db", timeout=30)
            ) as database:
                return database.execute(query, (self._dag,)).fetchall()
        except sqlite3.OperationalError:  # its tables are just being made
            return []

    def _until(self, holds: Callable[[], object]) -> None:
        until = time.monotonic() + _PATIENCE
        while not holds():
            if time.monotonic() > until or self._process.poll() is not None:
                give_up(f"{self._folder}/airflow.log: it has ended, or hangs")
            time.sleep(0.5)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def processes(root: int) -> dict[int, list[str]]:
    """A process and all that descend from it, each with what the kernel says of it."""
    stats = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            stats[int(file.parent.name)] = file.read_text().rpartition(")")[2].split()
    found: dict[int, list[str]] = {}
    new = {root}
    while new:
        found |= {pid: stats[pid] for pid in new & stats.keys()}
        new = {pid for pid, stat in stats.items() if int(stat[1]) in new}
    return found


def cpu_of(root: int) -> float:
    """Seconds that a process, its descendants, and those of them that are gone have taken."""
    spent = sum(sum(map(int, stat[11:15])) for stat in processes(root).values())
    return spent / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure; answers the exit code."""
    options = parser(__doc__, rounds=2)
    options.add_argument("--models", type=int, default=50)
    options.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    given = options.parse_args()
    try:
        pythons = {
            name: kept(SIDES[name][0], lambda _: None) / "bin" / "python" for name in given.sides
        }
    except Unavailable as reason:
        give_up(str(reason))
    taken: dict[str, list[Usage]] = {}
    with workshop(given.folder) as folder:
        for name, python in pythons.items():
            (folder / name).mkdir()
            with Airflow(folder / name, name, python, given.models, given.dbt) as airflow:
                idle = airflow.idle()
                print(f"{name:<10} while nothing runs {idle:.2f} s of CPU a second", flush=True)
                taken[name] = []
                for number in range(given.rounds):
                    usage = airflow.run()
                    print(f"{name:<10} round {number + 1} {usage}", flush=True)
                    less = max(0.0, usage.cpu - idle * usage.wall)
                    taken[name].append(Usage(wall=usage.wall, cpu=less))
    print_medians(taken)
    return verdict(_targets(taken, given.models), check=given.check)


def _targets(taken: dict[str, list[Usage]], models: int) -> list[Target]:
    each = {name: cpus(usages) / models for name, usages in taken.items()}
    for name, seconds in each.items():
        print(f"{name}: {seconds:.3f} s of CPU for each of {models} nodes")
    return [
        Target(
            name=f"CPU a node, {name} / dbtorch",
            value=seconds / each["dbtorch"],
            limit=20 if name == "LOCAL" else 1,
            at_least=True,
        )
        for name, seconds in each.items()
        if name != "dbtorch" and "dbtorch" in each
    ]


if __name__ == "__main__":
    sys.exit(main())
