"""`dbtorch run` with the process engine, and `dbt build` of the same dbt 2, on DuckDB.

Each size has a project for each side, with a database of its own, and runs over what the round
before left there. Needs a dbt 2 (``--executable``) and its driver for DuckDB
(``ADBC_DRIVER_PATH``).
"""

from __future__ import annotations

import sys
from functools import partial

from measure import (
    Target,
    in_turns,
    parser,
    print_medians,
    require_results,
    spend,
    verdict,
    walls,
    workshop,
)
from project import layers, write_project


def main() -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--executable", required=True, help="dbt 2")
    options.add_argument("--models", type=int, nargs="+", default=[200, 1000, 3000])
    options.add_argument("--threads", type=int, default=4)
    options.add_argument("--dbt-1", action="store_true", help="two more sides: the same with dbt 1")
    given = options.parse_args()
    targets = []
    for size in given.models:
        with_dbt_2 = f"engine: {{executable: {given.executable}}}\n"
        commands = {
            "dbt 2 build": ([given.executable, "build"], ""),
            "dbtorch run": ([*given.dbtorch, "run"], with_dbt_2),
        }
        if given.dbt_1:
            commands["dbt 1 build"] = [*given.dbt, "build"], ""
            commands["dbtorch, dbt 1"] = [*given.dbtorch, "run"], ""
        with workshop(given.folder) as folder:
            sides = {}
            for number, (name, (command, config)) in enumerate(commands.items()):
                project = write_project(
                    folder / f"side{number}", layers(size), tests=size // 2, threads=given.threads
                )
                if config:
                    (project / "dbtorch.yml").write_text(config)
                sides[name] = partial(spend, command, cwd=project)
                sides[name]()
                require_results(project, size + size // 2)
            print(f"\n{size:,} models and {size // 2:,} tests")
            taken = in_turns(sides, given.rounds)
        print_medians(taken)
        ratio = walls(taken["dbtorch run"]) / walls(taken["dbt 2 build"])
        targets.append(Target(name=f"wall ratio, {size:,} models", value=ratio, limit=1.05))
    return verdict(targets, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
