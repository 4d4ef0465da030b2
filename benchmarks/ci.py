"""A pull request that changes 10 of 1,000 models: `dbtorch ci` beside `dbt build` of the same.

`dbt build --select state:modified+ --defer --state …` builds the changed models beside production.
`dbtorch ci` does so as well, with and without comparing them with production's. Each finds what dbt
kept of the parse before, as jobs of `deploy/ci/` do from the second push to a pull request on; with
``--cold`` dbt has parsed nothing yet, and the project's parse is most of every side. Where others
work on the machine, look at CPU.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
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

PROFILE = """\
bench:
  target: prod
  outputs:
    prod: {{type: duckdb, path: "{path}", threads: {threads}}}
    ci: {{type: duckdb, path: "{path}", threads: {threads}, schema: ci}}
"""

CHANGED = 10


def main() -> int:
    """Measure; answers the exit code."""
    options = parser(__doc__, rounds=5)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--cold", action="store_true", help="forget what dbt has parsed")
    given = options.parse_args()
    with workshop(given.folder) as folder:
        production = folder / "production"
        models = layers(given.models)
        write_project(production, models, profile=PROFILE, tests=given.models // 10, threads=4)
        spend([*given.dbt, "--quiet", "build"], cwd=production)
        state = folder / "state"
        state.mkdir()
        for name in ("manifest.json", "run_results.json"):
            shutil.copy(production / "target" / name, state / name)

        def side(name: str, command: list[str]) -> Callable[[], Usage]:
            checkout = _checkout(folder / name, models[-CHANGED:])
            return partial(_round, checkout, production, command, keep=not given.cold)

        slim = ["--select", "state:modified+", "--defer", "--favor-state", "--state", str(state)]
        ours = [*given.dbtorch, "ci", "--pr", "1", "--state", str(state), "--target", "ci"]
        sides = {
            "dbt build": side("dbt", [*given.dbt, "build", "--target", "ci", *slim]),
            "dbtorch ci, no comparison": side("built", [*ours, "--no-compare"]),
            "dbtorch ci": side("compared", ours),
        }
        if not given.cold:  # the first push parses everything, and is not counted
            in_turns(sides, 1, quiet=True)
        taken = in_turns(sides, given.rounds)
    print_medians(taken)
    theirs, built, compared = taken.values()
    return verdict(
        [
            ratio("wall, no comparison", built, theirs, limit=0.8),
            ratio("wall, comparison included", compared, theirs, limit=1.1),
            ratio("CPU, no comparison", built, theirs, limit=0.8, of=lambda one: one.cpu),
            ratio("CPU, comparison included", compared, theirs, limit=1.1, of=lambda one: one.cpu),
        ],
        check=given.check,
    )


def _checkout(folder: Path, changed: list[Model]) -> Path:
    """A checkout of the pull request's own: the same project, and another query in some models."""
    production = folder.parent / "production"
    shutil.copytree(production, folder, ignore=shutil.ignore_patterns("target", "logs", "*.duckdb"))
    profile = PROFILE.format(path=folder / "bench.duckdb", threads=4)
    (folder / "profiles.yml").write_text(profile)
    for model in changed:
        file = folder / "models" / f"{model.name}.sql"
        file.write_text(f"select id + 1 as id from ({file.read_text()}) before")
    return folder


def _round(checkout: Path, production: Path, command: list[str], *, keep: bool) -> Usage:
    """One job, in a warehouse that holds production alone."""
    shutil.copy(production / "bench.duckdb", checkout / "bench.duckdb")
    shutil.rmtree(checkout / ".dbtorch", ignore_errors=True)
    if not keep:
        shutil.rmtree(checkout / "target", ignore_errors=True)
    usage = spend(command, cwd=checkout)
    require_results(checkout, CHANGED)
    return usage


if __name__ == "__main__":
    raise SystemExit(main())
