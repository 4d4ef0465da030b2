"""`dbtorch run` ends like `dbt build`: every node, every artifact, every row.

Each case makes two copies of a project with a database each, calls dbt on one and dbtorch on the
other with the same arguments, several times over the same database, and compares what is left.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from tests.engines import Can, shows
from tests.parity import compare
from tests.parity.artifacts import invalid
from tests.parity.project import PROJECTS, Project, Recipe, copied
from tests.parity.random_dag import generate
from tests.parity.reference import BuildResult, dbt_build, dbtorch_run
from tests.parity.warehouse import warehouse

pytestmark = [pytest.mark.slow, shows(Can.PARITY)]

Args = Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A project, and the command lines that follow each other over its database."""

    recipe: Recipe
    runs: tuple[Args, ...]


def in_full(*runs: str) -> tuple[Args, ...]:
    """Command lines, written as one types them; {project} is the copy's folder."""
    return tuple(run.split() for run in runs)


FAILURES = Recipe(source=PROJECTS / "failures")
FEATURES = Recipe(source=PROJECTS / "features")
HOOKS_FOLDER = PROJECTS / "hooks"
HOOKS = Recipe(
    source=HOOKS_FOLDER,
    env={"PARITY_STAMP": "monday", "DBT_TARGET_PATH": "build/dbt"},
    target_path="build/dbt",
)
SAMPLE = Recipe(
    source=PROJECTS.parents[1] / "sample_project",
    profiles=PROJECTS.parents[1] / "profiles",
    duckdb_file="warehouse.duckdb",
    env={"SHOP_DUCKDB": "{project}/warehouse.duckdb"},
)

EXPOSURES = "exposures:" + (HOOKS_FOLDER / "models/models.yml").read_text().split("exposures:")[1]


def hooks(variant: str) -> Args:
    return ("--vars", f"{{variant: {variant}, batch_name: first}}")


CASES = {
    # everything in every position, on a new database, over what that left, and from scratch; then
    # what can go wrong without rows, and where a test that warns fails, and blocks
    "failures": Case(
        recipe=FAILURES,
        runs=in_full(
            "",
            "--full-refresh --threads 1",
            "--empty --exclude path:models/tests path:models/units",
            "--warn-error --select path:models/tests",
        ),
    ),
    "failures, selected": Case(
        recipe=FAILURES,
        runs=(
            *in_full(
                "--select +after_left_and_both",
                # the children of what is left out still know that their grandparents failed
                "--select stg_orders+ --exclude after_sql_error_table eph_in_between",
                "--selector late_chain",
                "--select +after_micro_one_bad --indirect-selection cautious",
                "--select after_micro_one_bad micro_one_bad"
                " --event-time-start 2022-01-01 --event-time-end 2024-01-01",
                "--select path:models/late",
            ),
            # what the project enables changes, so dbt parses anew
            ("--select", "path:models/late", "--vars", "{late_arrivals_enabled: true}"),
        ),
    ),
    "failures, compared with a state, and by resource type": Case(
        recipe=FAILURES,
        runs=in_full(
            "--exclude path:models/breaks",
            "--select result:error+ result:fail --state {project}/state",
            "--select state:modified+ --state {project}/state",
            "--select after_left --defer --favor-state --state {project}/state",
            "--resource-type model --resource-type seed --select path:models/tests path:seeds",
            "--resource-type test --select path:models/tests path:models/staging",
            "--exclude-resource-type unit_test --select path:models/units",
            "--select stg_payments+ --indirect-selection cautious",
            "--select no_such_node",
        ),
    ),
    "hooks": Case(recipe=HOOKS, runs=(hooks("none"), hooks("none"), ())),
    "hooks that fail at the start": Case(
        recipe=HOOKS, runs=(hooks("start_fails"), hooks("start_never_compiles"))
    ),
    "hooks that fail at the end": Case(
        recipe=HOOKS, runs=(hooks("end_fails"), hooks("end_never_compiles"))
    ),
    # dbt's own flag for that: no node starts (dbt itself breaks when an exposure is among them)
    "hooks that fail and keep nodes from running": Case(
        recipe=Recipe(
            source=HOOKS_FOLDER,
            env=HOOKS.env,
            target_path=HOOKS.target_path,
            edits=[
                ("dbt_project.yml", "run_start_fails: false", "run_start_fails: true"),
                ("models/models.yml", EXPOSURES, ""),
            ],
        ),
        runs=(hooks("start_fails"), hooks("none")),
    ),
    # the old way to say where artifacts go, still in many projects
    "hooks, target path in the project": Case(
        recipe=Recipe(
            source=HOOKS_FOLDER,
            env={"PARITY_STAMP": "tuesday"},
            target_path="elsewhere/target",
            edits=[("dbt_project.yml", "flags:", "target-path: elsewhere/target\nflags:")],
        ),
        runs=(hooks("none"),),
    ),
    "features": Case(recipe=FEATURES, runs=in_full("", "", "--full-refresh --empty")),
    **{
        f"random {seed}": Case(recipe=Recipe(source=partial(generate, seed=seed)), runs=runs)
        for seed, runs in (
            (1, in_full("", "--threads 2", "--select tag:odd+")),
            (2, in_full("", "--select tag:odd+")),
            (3, in_full("", "")),
        )
    },
}

#: A second time over what is there, but for what fails before it comes to that.
AGAIN = in_full("", "--exclude path:models/breaks path:models/tests path:models/units")

ON_POSTGRES = {
    "failures": Case(recipe=Recipe(source=FAILURES.source, on_postgres=True), runs=AGAIN),
    "features": Case(recipe=Recipe(source=FEATURES.source, on_postgres=True), runs=in_full("", "")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_run_ends_like_a_build(case: Case, tmp_path: Path) -> None:
    assert_equal(case, tmp_path)


@pytest.mark.postgres
@pytest.mark.parametrize("case", ON_POSTGRES.values(), ids=ON_POSTGRES)
def test_a_run_ends_like_a_build_on_postgres(
    case: Case, tmp_path: Path, postgres_server: str
) -> None:
    assert_equal(case, tmp_path, server=postgres_server)


def test_the_sample_ends_like_a_build_after_its_ingestion(tmp_path: Path) -> None:
    case = Case(recipe=SAMPLE, runs=in_full("", "--full-refresh"))
    assert_equal(case, tmp_path, build=build_after_ingestion)


@pytest.mark.postgres
def test_the_sample_ends_like_a_build_on_postgres(tmp_path: Path, postgres_server: str) -> None:
    recipe = replace(SAMPLE, on_postgres=True)
    case = Case(recipe=recipe, runs=in_full("--target postgres", "--target postgres"))
    assert_equal(case, tmp_path, build=build_after_ingestion, server=postgres_server)


def test_two_builds_by_dbt_are_equal(tmp_path: Path) -> None:
    """The comparison would be worthless if it complained about dbt itself."""
    case = replace(CASES["random 1"], runs=in_full(""))
    assert_equal(case, tmp_path, run=dbt_build, against=compare.build_differences)


def test_failing_fast_stops_where_dbt_stops(tmp_path: Path) -> None:
    """One thread and one way through the graph: exactly the same nodes are reached."""
    chain = "--select +after_bad_cast --indirect-selection cautious --threads 1 --fail-fast"
    assert_equal(Case(recipe=FAILURES, runs=in_full(chain, chain)), tmp_path)


def test_failing_fast_leaves_the_rest_out(tmp_path: Path) -> None:
    """Which of many failures comes first is nobody's promise; what it means is."""
    with (
        copied(FAILURES, tmp_path / "dbt") as one,
        copied(FAILURES, tmp_path / "one thread") as in_order,
        copied(FAILURES, tmp_path / "four threads") as at_once,
        ThreadPoolExecutor(2) as both,
    ):
        full = both.submit(dbt_build, one)
        runs = {
            threads: both.submit(dbtorch_run, project, ["--fail-fast", "--threads", threads])
            for project, threads in ((in_order, "1"), (at_once, "4"))
        }
        for run in runs.values():
            assert compare.early_end_differences(full.result(), run.result()) == []
        assert invalid(in_order.target_path) + invalid(at_once.target_path) == []


def build_after_ingestion(project: Project, args: Args) -> BuildResult:
    """What somebody without dbtorch does: load, then `dbt build`."""
    done = subprocess.run(
        [sys.executable, "-c", _INGEST, str(project.postgres is not None)],
        cwd=project.path,
        env=project.environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dbt_build(project, args)


#: Calls the sample's ingestion steps by hand.
_INGEST = """
import importlib, pathlib, sys, types
context = types.SimpleNamespace(
    project_dir=pathlib.Path.cwd(), params={}, attempt=1, run_id="by hand"
)
duckdb = {"name": "dev", "type": "duckdb", "path": "warehouse.duckdb"}
context.target = {"name": "postgres", "type": "postgres"} if sys.argv[1] == "True" else duckdb
sys.path.insert(0, "")
for name in ("orders", "customers", "payments", "web_events", "exchange_rates"):
    importlib.import_module(f"ingestion.{name}").load(context)
"""


def assert_equal(
    case: Case,
    tmp_path: Path,
    *,
    build: Callable[[Project, Args], BuildResult] = dbt_build,
    run: Callable[[Project, Args], BuildResult] = dbtorch_run,
    against: Callable[..., list[str]] = compare.differences,
    server: str | None = None,
) -> None:
    """Stop at the first command line after which anything differs, and say everything that does."""
    with (
        copied(case.recipe, tmp_path / "dbt" / "project", server=server) as one,
        copied(case.recipe, tmp_path / "dbtorch" / "project", server=server) as other,
        ThreadPoolExecutor(2) as both,
    ):
        for number, args in enumerate(case.runs):
            built = both.submit(build, one, _here(args, one))
            ran = both.submit(run, other, _here(args, other))
            problems = against(built.result(), ran.result())
            problems += compare.warehouse_differences(warehouse(one), warehouse(other))
            if built.result().results is not None:
                problems += invalid(other.target_path)
            if problems:
                head = f"run {number + 1} ({' '.join(args)}) differs in {len(problems)} points"
                pytest.fail("\n".join([head, *problems, "", ran.result().output]), pytrace=False)
            if number == 0:
                _keep_state(one)
                _keep_state(other)


def _here(args: Args, project: Project) -> list[str]:
    return [arg.replace("{project}", str(project.path)) for arg in args]


def _keep_state(project: Project) -> None:
    """The artifacts of the first run, for what compares with an earlier state."""
    if project.target_path.exists():
        shutil.copytree(project.target_path, project.path / "state")
