"""CPU and wall of a DAG run of dbtorch against one of Cosmos, LOCAL and WATCHER, on one project.

Each by `airflow dags test`, which executes tasks in one process, one after another: what a process
for each task costs comes on top of it in production, for LOCAL of every node. What a DAG run with
no node costs is taken off. Environments of their own, made by pip.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from measure import Target, Usage, cpus, give_up, in_turns, parser, print_medians, spend, verdict
from measure import workshop as shop
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
)
"""
_OURS = """
from dbtorch.integrations.airflow import dbtorch_dag

dag = dbtorch_dag({project!r}, dag_id={name!r}, schedule=None)
"""
_NOTHING = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG({name!r}, schedule=None) as dag:
    EmptyOperator(task_id="nothing")
"""

#: Side -> its environment, and the text of its DAG file.
SIDES = {
    "nothing": (AIRFLOW, _NOTHING),
    "dbtorch": (AIRFLOW, _OURS),
    "LOCAL": (COSMOS, _COSMOS),
    "WATCHER": (COSMOS, _COSMOS),
}


def main() -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--models", type=int, default=50)
    options.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    given = options.parse_args()
    try:
        pythons = {
            name: kept(SIDES[name][0], lambda _: None) / "bin" / "python" for name in given.sides
        }
    except Unavailable as reason:
        give_up(str(reason))
    with shop(given.folder) as folder:
        sides = {}
        for name, python in pythons.items():
            project = write_project(folder / name / "project", layers(given.models), threads=4)
            (project / "dbtorch.yml").write_text(f"engine: {{python: {sys.executable}}}\n")
            dags = folder / name / "dags"
            dags.mkdir()
            text = SIDES[name][1].format(project=str(project), name=f"x-{name}", mode=name)
            (dags / "one.py").write_text(text)
            environ = {
                "AIRFLOW_HOME": str(folder / name / "airflow"),
                "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "PYTHONPATH": str(ROOT),
                "PATH": f"{python.parent}:{os.environ['PATH']}",
                "DBT_PROFILES_DIR": str(project),
                "DO_NOT_TRACK": "1",
            }
            spend([*given.dbt, "parse"], cwd=project, environ=environ)
            airflow = partial(spend, cwd=project, environ=environ)
            airflow([str(python), "-m", "airflow", "db", "migrate"])
            sides[name] = partial(
                airflow, [str(python), "-m", "airflow", "dags", "test", f"x-{name}"]
            )
            # reads what is on the disk, and lets dbtorch and Cosmos remember it
            airflow([str(python), str(dags / "one.py")])
        taken = in_turns(sides, given.rounds)
    print_medians(taken)
    return verdict(_targets(taken, given.models), check=given.check)


def _targets(taken: dict[str, list[Usage]], models: int) -> list[Target]:
    base = cpus(taken.pop("nothing", [Usage(wall=0.0, cpu=0.0)]))
    each = {name: (cpus(usages) - base) / models for name, usages in taken.items()}
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
