"""`dbtorch run` and `dbt build` on the same project in DuckDB.

Both sides have a copy of the project and a database of their own, a warm partial parse, and run
over what the round before left there.
"""

from __future__ import annotations

import sys
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


def main() -> int:
    options = parser(__doc__, rounds=5)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--tests", type=int, default=500)
    options.add_argument("--threads", type=int, default=4)
    options.add_argument(
        "--engine", choices=("session", "process"), default="session", help="default session"
    )
    options.add_argument(
        "--quiet-dbt", action="store_true", help="a third side: dbt build without its debug log"
    )
    given = options.parse_args()
    commands = {"dbt build": [*given.dbt, "build"], "dbtorch run": [*given.dbtorch, "run"]}
    if given.quiet_dbt:
        commands["dbt build, no log file"] = [*given.dbt, "--log-level-file", "none", "build"]
    with workshop(given.folder) as folder:
        sides = {}
        for number, (name, command) in enumerate(commands.items()):
            project = write_project(
                folder / f"side{number}",
                layers(given.models),
                tests=given.tests,
                threads=given.threads,
            )
            if name == "dbtorch run":
                (project / "dbtorch.yml").write_text(f"engine: {{type: {given.engine}}}\n")
            sides[name] = partial(spend, command, cwd=project)
            sides[name]()  # parses, and builds what the rounds build anew
            require_results(project, given.models + given.tests)
        taken = in_turns(sides, given.rounds)
    print_medians(taken)
    limit = 0.95 if given.engine == "session" else 1.02
    dbt, dbtorch = taken["dbt build"], taken["dbtorch run"]
    return verdict(
        [
            ratio("wall ratio", dbtorch, dbt, limit=limit),
            ratio("CPU ratio", dbtorch, dbt, limit=1.05, of=lambda usage: usage.cpu),
        ],
        check=given.check,
    )


if __name__ == "__main__":
    sys.exit(main())
