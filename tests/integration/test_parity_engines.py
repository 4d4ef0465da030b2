"""With every engine and every dbt a run ends like a build of that dbt: every node, every row.

- process, dbt 2: a generation of its own, so two graphs, built again over what is there, in part,
  and with other threads
- session, dbt 1.10 and 1.12: one graph, and again over what is there; selections are the same code as
  with dbt 1.11, for which `test_parity` shows them
- process, dbt 1.11: one graph, once; that every kind of node runs a second time is in
  `tests/acceptance/test_again.py`
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.engines import (
    PROCESS_1_11,
    PROCESS_2,
    SESSION_1_10,
    SESSION_1_12,
    Can,
    Driven,
    shows,
)
from tests.environments import Dbt
from tests.parity import compare
from tests.parity.project import Project, Recipe, copied
from tests.parity.random_dag import generate
from tests.parity.reference import call, dbtorch_run
from tests.parity.warehouse import warehouse

pytestmark = [pytest.mark.slow, shows(Can.PARITY)]

#: What this dbt says of a node in its artifact where others say something else.
SAME = {"no-op": "skipped", "fail": "error"}

RUNS = {1: ("", "--threads 2", "--select tag:odd+"), 3: ("", "")}

DRIVEN = [
    *((PROCESS_2, seed, runs) for seed, runs in RUNS.items()),
    *((driven, 3, RUNS[3]) for driven in (SESSION_1_10, SESSION_1_12)),
    (PROCESS_1_11, 3, ("",)),
]


@contextmanager
def copy(seed: int, to: Path, driven: Driven, dbt: Dbt) -> Iterator[Project]:
    with copied(Recipe(source=partial(generate, seed=seed)), to) as project:
        (to / "dbtorch.yml").write_text(
            f"engine: {driven.spec(dbt)}\ndefaults: {{retry: {{retries: 0}}}}\n"
        )
        yield replace(project, env={**project.env, **dbt.env})


def statuses(project: Project) -> dict[str, str]:
    results = json.loads((project.target_path / "run_results.json").read_text())["results"]
    return {
        one["unique_id"]: SAME.get(one["status"], one["status"])
        for one in results
        if not one["unique_id"].startswith("exposure.")
    }


@pytest.mark.parametrize(("driven", "seed", "runs"), DRIVEN, ids=str, indirect=["driven"])
def test_a_run_ends_like_a_build(
    driven: Driven, seed: int, runs: tuple[str, ...], tmp_path: Path
) -> None:
    dbt = driven.make()
    with (
        copy(seed, tmp_path / "dbt" / "project", driven, dbt) as one,
        copy(seed, tmp_path / "dbtorch" / "project", driven, dbt) as other,
    ):
        for number, args in enumerate(runs):
            where = ["--project-dir", str(one.path), "--profiles-dir", str(one.profiles)]
            built = call(one, [str(dbt.executable), "build", *where, *args.split()])
            ran = dbtorch_run(other, args.split())
            said = f"run {number + 1}: {built.stdout}\n{ran.output}"
            assert statuses(other) == statuses(one), said
            assert ran.exit_code == built.returncode, said
            assert compare.warehouse_differences(warehouse(one), warehouse(other)) == []
