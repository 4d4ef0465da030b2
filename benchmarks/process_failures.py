"""One in a hundred nodes fails once: `dbtorch run`, or the `dbt build` and `dbt retry` of its dbt.

What fails reads a file that is not there. It is written as soon as the attempt has failed, on
dbt's side between the two commands. ``--executable`` is a dbt 2, whose driver for DuckDB is found
in ``ADBC_DRIVER_PATH``, or any other dbt.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
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
from project import Model, layers, write_project

CONFIG = """\
engine: {{executable: {executable}}}
defaults: {{retries: 5, retry_delay: 1s}}
"""


def main() -> int:
    options = parser(__doc__, rounds=3)
    options.add_argument("--executable", required=True, help="the dbt of both sides")
    options.add_argument("--models", type=int, nargs="+", default=[200, 1000])
    options.add_argument("--threads", type=int, default=4)
    given = options.parse_args()
    targets = []
    for size in given.models:
        models = [
            replace(model, file=f"flags/{model.name}.csv") if number % 100 == 50 else model
            for number, model in enumerate(layers(size))
        ]
        flaky = [model for model in models if model.file]
        with workshop(given.folder) as folder:
            projects = [
                write_project(folder / name, models, threads=given.threads)
                for name in ("dbt", "dbtorch")
            ]
            text = CONFIG.format(executable=given.executable)
            (projects[1] / "dbtorch.yml").write_text(text)
            sides = {
                "dbt build, dbt retry": partial(
                    build_and_retry, given.executable, projects[0], flaky
                ),
                "dbtorch run": partial(run, given.dbtorch, projects[1], flaky),
            }
            for side in sides.values():
                side()
            require_results(projects[1], size)  # `dbt retry` writes of what it retried
            print(f"\n{size:,} models, {len(flaky)} of which fail once")
            taken = in_turns(sides, given.rounds)
        print_medians(taken)
        ours, theirs = taken["dbtorch run"], taken["dbt build, dbt retry"]
        targets.append(ratio(f"wall ratio, {size:,} models", ours, theirs, limit=1.25))
    return verdict(targets, check=given.check)


def build_and_retry(dbt: str, project: Path, flaky: Sequence[Model]) -> Usage:
    """Build, write what is missing, and let dbt retry."""
    forget(project, flaky)
    built = spend([dbt, "build"], cwd=project, code=1)
    for model in flaky:
        provide(project, model)
    return built + spend([dbt, "retry"], cwd=project)


def run(dbtorch: Sequence[str], project: Path, flaky: Sequence[Model]) -> Usage:
    """Run, and write what is missing as soon as somebody has missed it."""
    forget(project, flaky)
    known = set((project / ".dbtorch" / "runs").glob("*"))
    done = threading.Event()

    def watch() -> None:
        left = {model.name: model for model in flaky}
        while left and not done.wait(0.2):
            for folder in set((project / ".dbtorch" / "runs").glob("*")) - known:
                for name in list(left):
                    log = folder / "nodes" / f"model.bench.{name}.1.log"
                    if log.exists() and "No files found" in log.read_text(errors="replace"):
                        provide(project, left.pop(name))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        return spend([*dbtorch, "run"], cwd=project)
    finally:
        done.set()
        thread.join()


def forget(project: Path, flaky: Sequence[Model]) -> None:
    """Take away what was missing at first."""
    for model in flaky:
        (project / model.file).unlink(missing_ok=True)


def provide(project: Path, model: Model) -> None:
    """Write what a model reads."""
    path = project / model.file
    path.parent.mkdir(exist_ok=True)
    path.write_text("id\n1\n")


if __name__ == "__main__":
    sys.exit(main())
