"""What reading the file of a DAG costs in CPU: dbtorch's own part, and the objects of Airflow.

700 models and 300 tests, a task each, in a process that has Airflow at hand as its DAG processor
does. What dbt answered is remembered; the first reading, which starts dbt, is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from measure import Target, give_up, parser, verdict, workshop
from project import layers, write_project

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.environments import AIRFLOW, Unavailable, kept  # noqa: E402

SCRIPT = """
import json, sys, time
from airflow.sdk import DAG
from dbtorch.integrations.airflow import dbtorch_dag
from dbtorch.integrations.airflow_tasks import Granularity, tasks_of
from dbtorch.service.api import Project

dbtorch_dag(sys.argv[1], dag_id="first")
for _ in range(int(sys.argv[2])):
    began = time.process_time()
    outline = Project(sys.argv[1]).outline()
    specs = tasks_of(outline.plan, Granularity.NODE, outline.project)
    ours = time.process_time()
    dag = dbtorch_dag(sys.argv[1], dag_id="again")
    whole = time.process_time()
    print(json.dumps([len(specs), ours - began, whole - ours]))
"""


def main() -> int:
    options = parser(__doc__, rounds=9)
    options.add_argument("--models", type=int, default=700)
    options.add_argument("--tests", type=int, default=300)
    given = options.parse_args()
    try:
        python = kept(AIRFLOW, lambda _: None) / "bin" / "python"
    except Unavailable as reason:
        give_up(str(reason))
    with workshop(given.folder) as folder:
        project = write_project(
            folder / "project", layers(given.models), tests=given.tests, threads=4
        )
        (project / "dbtorch.yml").write_text(f"engine: {{python: {sys.executable}}}\n")
        done = subprocess.run(
            [python, "-c", SCRIPT, str(project), str(given.rounds)],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "AIRFLOW_HOME": str(folder / "airflow"),
                "DBT_PROFILES_DIR": str(project),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        give_up(done.stderr[-4000:])
    rounds = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    ours = median(own for _, own, _ in rounds)
    whole = median(all_ for _, _, all_ in rounds)
    print(f"{rounds[0][0]} tasks: {ours:.3f} s for the plan and its tasks, {whole:.3f} s in all")
    return verdict(
        [Target(name="dbtorch's part of reading a DAG file", value=ours, limit=0.1, unit=" s")],
        check=given.check,
    )


if __name__ == "__main__":
    sys.exit(main())
