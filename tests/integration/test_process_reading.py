"""What real dbts print and write: events and run_results.json say the same, in both generations."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.manifest import read_manifest
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import Began, Done, Lines, LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.dbt_cli.run_results import Results, read_results
from tests.environments import Dbt
from tests.sessions import Shop

pytestmark = [pytest.mark.slow]

FILES = {
    "seeds/letters.csv": "letter,day\na,2026-01-01\nb,2026-01-02\n",
    "models/inlined.sql": """
        {{ config(materialized='ephemeral') }}
        select letter, cast(day as timestamp) as day from {{ ref('letters') }}
    """,
    "models/by_day.sql": "{{ config(event_time='day') }} select * from {{ ref('inlined') }}",
    "models/daily.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='microbatch',
            event_time='day', batch_size='day', begin='2026-01-01'
        ) }}
        select * from {{ ref('by_day') }}
    """,
    "models/broken.sql": "select nothing as id from {{ ref('letters') }}",
    "models/after_broken.sql": "select * from {{ ref('broken') }}",
    "models/shouted.sql": "select upper(letter) as letter from {{ ref('letters') }}",
    "models/after_shouted.sql": "select * from {{ ref('shouted') }}",
    "models/models.yml": """
        models:
          - name: by_day
            columns:
              - name: letter
                data_tests:
                  - accepted_values:
                      name: warned
                      arguments: {values: [a]}
                      config: {severity: warn}
                  - accepted_values:
                      name: failed
                      arguments: {values: [z]}
                  - not_null: {name: passed}
        unit_tests:
          - name: whispers
            model: shouted
            given: [{input: ref('letters'), rows: [{letter: z}]}]
            expect: {rows: [{letter: z}]}
    """,
    "snapshots/snapshots.yml": """
        snapshots:
          - name: kept
            relation: ref('letters')
            config: {unique_key: letter, strategy: check, check_cols: all}
    """,
}
HOOK = "on-run-end: create table if not exists notes (what text)"
DAYS = ("--event-time-start", "2026-01-01", "--event-time-end", "2026-01-03")

#: Of every node but hooks, by the end of its id, as both generations have it. A test's hash is cut.
STATUSES = {
    "seed.shop.letters": "success",
    "model.shop.by_day": "success",
    "model.shop.daily": "skipped",
    "model.shop.broken": "error",
    "model.shop.after_broken": "skipped",
    "model.shop.shouted": "skipped",
    "model.shop.after_shouted": "skipped",
    "snapshot.shop.kept": "success",
    "test.shop.warned": "warn",
    "test.shop.failed": "fail",
    "test.shop.passed": "pass",
    "unit_test.shop.shouted.whispers": "fail",
}


@dataclass(frozen=True, kw_only=True)
class Build:
    """One ``dbt build``, as it was seen from outside."""

    began: list[str]
    done: dict[str, Done]
    said: list[LogMessage]
    results: Results
    target: Path

    def statuses(self) -> dict[str, str]:
        ended = {id: done.status for id, done in self.done.items()}
        for id in [id for id in ended if id.startswith("operation.") or id.endswith(".inlined")]:
            del ended[id]
        return {without_hash(id): status for id, status in ended.items()}


def without_hash(id: str) -> str:
    return id.rpartition(".")[0] if id.startswith("test.") else id


#: How each dbt is started so that it says what happens to a node.
STARTS = {
    "1": ("--log-level", "debug", "--log-level-file", "none"),
    "1, told": (),
    "2": (),
}


@pytest.fixture(scope="module", params=STARTS)
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    kind = str(request.param)
    beside = Dbt(executable=Path(sys.executable).with_name("dbt"), python=Path(sys.executable))
    dbt = request.getfixturevalue("dbt2") if kind == "2" else beside
    shop = Shop(tmp_path_factory.mktemp("shop"), FILES, project=HOOK)
    entry = Launcher.of(str(dbt.executable))
    if kind == "1, told":
        command = [*entry.command, "build", *DAYS, *entry.talk]
    else:
        command = [str(dbt.executable), "build", "--log-format", "json", *DAYS, *STARTS[kind]]
    ran = subprocess.run(
        command, cwd=shop.dir, capture_output=True, check=False, env={**os.environ, **dbt.env}
    )
    assert ran.returncode == 1, ran.stdout
    assert ran.stderr == b""
    reader = Lines()
    found = [reader.read(line) for line in ran.stdout.splitlines()]
    done = [line for line in found if isinstance(line, Done)]
    assert len({line.unique_id for line in done}) == len(done)
    return Build(
        began=[line.unique_id for line in found if isinstance(line, Began)],
        done={line.unique_id: line for line in done},
        said=[line for line in found if isinstance(line, LogMessage)],
        results=read_results(shop.dir / "target" / "run_results.json"),
        target=shop.dir / "target",
    )


def test_every_node_ends_with_a_status(build: Build) -> None:
    assert build.statuses() == STATUSES


def test_nothing_ends_that_has_not_begun_or_been_skipped(build: Build) -> None:
    assert len(set(build.began)) == len(build.began)
    assert {id for id, done in build.done.items() if id not in build.began} <= {
        id for id, done in build.done.items() if done.status == "skipped"
    }


def test_what_dbt_writes_is_what_it_has_said(build: Build) -> None:
    written = {
        without_hash(id): result.status
        for id, result in build.results.nodes.items()
        if without_hash(id) in STATUSES
    }

    assert not any(result.invented for result in build.results.nodes.values())
    # dbt 2 says of a unit test that it failed, and writes that it is an error
    unit_test = "unit_test.shop.shouted.whispers"
    assert {**written, unit_test: "fail"} == STATUSES
    assert written[unit_test] in {"fail", "error"}


def test_why_a_node_failed_is_known(build: Build) -> None:
    id = "model.shop.broken"
    texts = [said.text for said in build.said if said.unique_id == id and said.level == "error"]
    texts.append(build.done[id].message)

    assert any('Referenced column "nothing" not found' in text for text in texts)
    assert 'Referenced column "nothing" not found' in build.results.nodes[id].message


def test_a_hook_is_a_node(build: Build) -> None:
    assert build.done["operation.shop.shop-on-run-end-0"].status == "success"


def test_the_manifest_has_every_node_that_ended(build: Build) -> None:
    manifest = read_manifest(build.target / "manifest.json")

    assert set(build.done) <= {node.id for node in manifest.nodes}
    assert ("model.shop.inlined", "model.shop.by_day") in manifest.edges


def test_times_are_in_order(build: Build) -> None:
    for done in build.done.values():
        assert done.started_at is not None
        assert done.ended_at is None or done.started_at <= done.ended_at


def test_dbt_2_invents_errors_when_a_hook_fails(tmp_path: Path, dbt2: Dbt) -> None:
    files = {"models/fine.sql": "select 1 as id"}
    shop = Shop(tmp_path / "shop", files, project="on-run-end: insert into nowhere values (1)")
    command = [str(dbt2.executable), "build", "--log-format", "json"]

    ran = subprocess.run(
        command, cwd=shop.dir, capture_output=True, check=False, env={**os.environ, **dbt2.env}
    )

    done = [line for line in map(Lines().read, ran.stdout.splitlines()) if isinstance(line, Done)]
    assert {line.unique_id: line.status for line in done} == {
        "model.shop.fine": "success",
        "operation.shop.shop-on-run-end-0": "error",
    }
    written = read_results(shop.dir / "target" / "run_results.json").nodes["model.shop.fine"]
    assert (written.status, written.invented) == ("error", True)
