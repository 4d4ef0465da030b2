"""`dbtorch run` with the process engine, and `dbt build` of the same dbt, on DuckDB.

Each size has a project for each side, with a database of its own, and runs over what the round
before left there. ``--executable`` is a dbt 2, whose driver for DuckDB is found in
``ADBC_DRIVER_PATH``, or any other dbt; ``--dbt-1`` adds the dbt beside dbtorch.
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
    options = parser(__doc__, rounds=3)
    options.add_argument("--executable", required=True, help="the dbt of both sides")
    options.add_argument("--models", type=int, nargs="+", default=[200, 1000, 3000])
    options.add_argument("--threads", type=int, default=4)
    options.add_argument("--dbt-1", action="store_true", help="two more sides: the same with dbt 1")
    given = options.parse_args()
    targets = []
    for size in given.models:
        config = f"engine: {{executable: {given.executable}}}\n"
        commands = {
            "dbt build": ([given.executable, "build"], ""),
            "dbtorch run": ([*given.dbtorch, "run"], config),
        }
        if given.dbt_1:
            commands["dbt 1 build"] = [*given.dbt, "build"], ""
            commands["dbtorch, dbt 1"] = [*given.dbtorch, "run"], ""
        with workshop(given.folder) as folder:
            sides = {}
            for number, (name, (command, engine)) in enumerate(commands.items()):
                project = write_project(
                    folder / f"side{number}", layers(size), tests=size // 2, threads=given.threads
                )
                if engine:
                    (project / "dbtorch.yml").write_text(engine)
                sides[name] = partial(spend, command, cwd=project)
                sides[name]()
                require_results(project, size + size // 2)
            print(f"\n{size:,} models and {size // 2:,} tests")
            taken = in_turns(sides, given.rounds)
        print_medians(taken)
        ours, theirs = taken["dbtorch run"], taken["dbt build"]
        limit = 1.05 if size >= 1000 else 1.15  # Python's own start counts in a small project
        targets.append(ratio(f"wall ratio, {size:,} models", ours, theirs, limit=limit))
    return verdict(targets, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
