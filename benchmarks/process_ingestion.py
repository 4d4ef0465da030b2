"""An ingestion of 5 s in front of a tenth of the graph: `dbtorch run`, and its dbt's `dbt build`.

`dbt build` ingests nothing: it finds the file that the first models of that tenth read. The step
waits as if for an API, and writes it. ``--executable`` is a dbt 2, whose driver for DuckDB is found
in ``ADBC_DRIVER_PATH``, or any other dbt.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from functools import partial

from measure import (
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
with open("events.csv", "w") as file:
    file.write("id\\n1\\n")
"""

CONFIG = """\
engine: {{executable: {executable}}}
steps:
  ingest:
    command: {command}
    produces: ["source:raw.events"]
    opens_database: false
"""


def main() -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--executable", required=True, help="the dbt of both sides")
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--threads", type=int, default=4)
    options.add_argument("--seconds", type=float, default=5.0, help="the step takes; default 5")
    given = options.parse_args()
    tenth = [
        replace(model, file="events.csv") if model.source else model
        for model in layers(given.models // 10, source=True, prefix="s")
    ]
    models = [*layers(given.models - len(tenth)), *tenth]
    ingest = [sys.executable, "ingest.py", str(given.seconds)]
    with workshop(given.folder) as folder:
        projects = [
            write_project(folder / name, models, threads=given.threads)
            for name in ("dbt", "dbtorch")
        ]
        (projects[0] / "events.csv").write_text("id\n1\n")
        (projects[1] / "ingest.py").write_text(INGEST)
        text = CONFIG.format(executable=given.executable, command=shlex.join(ingest))
        (projects[1] / "dbtorch.yml").write_text(text)
        sides = {
            "dbt build": partial(spend, [given.executable, "build"], cwd=projects[0]),
            "dbtorch run": partial(spend, [*given.dbtorch, "run"], cwd=projects[1]),
        }
        for side, project in zip(sides.values(), projects, strict=True):
            side()
            require_results(project, given.models)
        taken = in_turns(sides, given.rounds)
    print_medians(taken)
    ours, theirs = taken["dbtorch run"], taken["dbt build"]
    return verdict([ratio("wall ratio", ours, theirs, limit=1.20)], check=given.check)


if __name__ == "__main__":
    sys.exit(main())
