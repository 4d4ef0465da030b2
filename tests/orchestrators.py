"""Other orchestrators: each in an environment of its own, in which scripts run in a project.

dbt is in another environment, as it often is. A database that an orchestrator needs is made once, and
kept with its environment: that takes longer than a script.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.workspace import Workspace
from tests.environments import AIRFLOW, DAGSTER, PREFECT, Recipe, Unavailable, kept, kept_in, run
from tests.pages import PAGES, ROOT
from tests.waiting import PATIENCE
from tests.zygote.client import BESIDE

#: What a script prints before the JSON that it tells.
_TOLD = "TOLD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestrator:
    """One of them."""

    recipe: Recipe
    section: str  # of the page on Python, whose example scripts import as `page`
    home: str  # the variable that names its own folder
    migrate: tuple[str, ...] = ()  # words for its Python that make a database there
    environ: Mapping[str, str] = field(default_factory=dict)

    def prepare(self) -> tuple[Path, Path | None]:
        """Its interpreter, and the folder with a new database.

        Raises `Unavailable` if it cannot be installed.
        """
        folder = kept(self.recipe, lambda _: None)
        python = folder / "bin" / "python"
        if not self.migrate:
            return python, None
        return python, kept_in(folder, "database", lambda home: self._migrated(python, home))

    def _migrated(self, python: Path, home: Path) -> None:
        environ = {**os.environ, **self.environ, self.home: str(home)}
        run([str(python), *self.migrate], env=environ)
        for path in home.iterdir():  # what is not of any home
            if path.suffix != ".db":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def told(self, workspace: Workspace, script: str, **environ: str) -> dict[str, Any]:
        """What a script tells that runs in the project; its dbts are those of everybody else."""
        try:
            python, database = self.prepare()
        except Unavailable as reason:
            pytest.skip(str(reason))
        home, scripts = workspace.dir / "home", workspace.dir / "dags"
        shutil.copytree(database, home) if database else home.mkdir()
        scripts.mkdir()
        (scripts / "page.py").write_text(example(self.section))
        paths = f"import sys; sys.path[:0] = {[str(ROOT), str(scripts)]}\n"
        (workspace.dir / "script.py").write_text(paths + script)
        done = subprocess.run(
            [python, *BESIDE, "script.py"],
            cwd=workspace.dir,
            env={
                **os.environ,
                **self.environ,
                **workspace.env,
                self.home: str(home),
                **environ,
            },
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(_TOLD))
        told: dict[str, Any] = json.loads(line.removeprefix(_TOLD))
        return told


def example(section: str) -> str:
    """The Python example in a section of the page on Python."""
    text = PAGES["docs/python.md"].read_text().partition(f"\n## {section}\n")[2]
    (found,) = re.findall(r"```python\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    return str(found)


AIRFLOW_3 = Orchestrator(
    recipe=AIRFLOW,
    section="Run as a DAG of Airflow",
    home="AIRFLOW_HOME",
    migrate=("-m", "airflow", "db", "migrate"),
    environ={"AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
)

DAGSTER_1 = Orchestrator(
    recipe=DAGSTER,
    section="Run as assets of Dagster",
    home="DAGSTER_HOME",
    environ={"DAGSTER_DISABLE_TELEMETRY": "1"},
)

PREFECT_3 = Orchestrator(
    recipe=PREFECT,
    section="Run as a flow of Prefect",
    home="PREFECT_HOME",
    migrate=("-m", "prefect", "server", "database", "upgrade", "--yes"),
    environ={
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
        "DO_NOT_TRACK": "1",
    },
)
