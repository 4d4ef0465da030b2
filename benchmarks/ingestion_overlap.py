"""A slow ingestion step in front of a project: `dbtorch run`, or the step and then `dbt build`.

The step waits as if for an API, then writes the source that the first models read into the
project's DuckDB file. Both sides run the same script.
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path

from measure import (
    Usage,
    in_turns,
    parser,
    print_medians,
    ratio,
    require_results,
    spend,
    verdict,
    workshop,
)
from project import layers, write_project

INGEST = """\
import sys
import time

time.sleep(float(sys.argv[1]))

import duckdb

with duckdb.connect("bench.duckdb") as database:
    database.execute("create schema if not exists raw")
    database.execute("create or replace table raw.events as select 1 as id")
"""

STEP = """\
version: 1
steps:
  ingest:
    command: {command}
    produces: ["source:raw.events"]
"""


def main() -> int:
    options = parser(__doc__, rounds=5)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--tests", type=int, default=500)
    options.add_argument("--threads", type=int, default=4)
    options.add_argument("--seconds", type=float, default=5.0, help="the step takes; default 5")
    given = options.parse_args()
    ingest = [sys.executable, "ingest.py", str(given.seconds)]

    def one_after_the_other(project: Path) -> Usage:
        return spend(ingest, cwd=project) + spend([*given.dbt, "build"], cwd=project)

    with workshop(given.folder) as folder:
        projects = [
            write_project(
                folder / name,
                layers(given.models, source=True),
                tests=given.tests,
                threads=given.threads,
            )
            for name in ("dbt", "dbtorch")
        ]
        for project in projects:
            (project / "ingest.py").write_text(INGEST)
        (projects[1] / "dbtorch.yml").write_text(STEP.format(command=shlex.join(ingest)))
        sides = {
            "step, then dbt build": partial(one_after_the_other, projects[0]),
            "dbtorch run": partial(spend, [*given.dbtorch, "run"], cwd=projects[1]),
        }
        for side, project in zip(sides.values(), projects, strict=True):
            side()  # parses, and builds what the rounds build anew
            require_results(project, given.models + given.tests)
        taken = in_turns(sides, given.rounds)
    print_medians(taken)
    ours, theirs = taken["dbtorch run"], taken["step, then dbt build"]
    return verdict([ratio("wall ratio", ours, theirs, limit=0.90)], check=given.check)


if __name__ == "__main__":
    sys.exit(main())
