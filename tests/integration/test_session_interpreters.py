"""The worker runs in the project's interpreter: another dbt, no dbtorch, or no dbt at all."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
import venv
from pathlib import Path

import pytest

import dbtorch.adapters.dbt.dbtorch_worker as worker
from dbtorch.core.config import StepSpec
from dbtorch.core.errors import EngineError
from dbtorch.core.model.state import State
from dbtorch.core.settings import Settings
from tests.engines import SESSION_1_10, SESSION_1_12, Can, Driven, over, shows
from tests.sessions import Shop, session

WORKER = Path(worker.__file__).parent


@pytest.mark.slow
@pytest.mark.timeout(480)
@over(SESSION_1_10, SESSION_1_12)  # the ends of what is supported
@shows(Can.KINDS)
def test_the_worker_needs_nothing_but_dbt(tmp_path: Path, driven: Driven) -> None:
    """A project that uses everything of dbt that the worker reaches into.

    dbtorch itself is not installed beside it.
    """
    dbt = driven.make()
    late = f"read_csv('{tmp_path}/late')"
    shop = Shop(
        tmp_path / "shop",
        {
            "seeds/letters.csv": "letter\na\nb\n",
            "models/inlined.sql": f"""
                {{{{ config(materialized='ephemeral') }}}}
                select day, letter from {{{{ ref('letters') }}}}, {late}
            """,
            "models/letters_by_day.sql": """
                {{ config(materialized='table', event_time='day') }}
                select cast(day as timestamp) as day, letter from {{ ref('inlined') }}
            """,
            "models/daily.sql": """
                {{ config(
                    materialized='incremental', incremental_strategy='microbatch',
                    event_time='day', batch_size='day', begin='2026-01-01'
                ) }}
                select * from {{ ref('letters_by_day') }}
                {% if model.batch and model.batch.id == '20260102' %} where nothing {% endif %}
            """,
            "models/shouted.sql": "select upper(letter) as letter from {{ ref('letters') }}",
            "models/after_daily.sql": "select * from {{ ref('daily') }}",
            "models/models.yml": """
                models:
                  - name: letters_by_day
                    columns: [{name: letter, data_tests: [not_null]}]
                unit_tests:
                  - name: shouts
                    model: shouted
                    given: [{input: ref('letters'), rows: [{letter: z}]}]
                    expect: {rows: [{letter: Z}]}
            """,
        },
        project="""
            on-run-start: create table if not exists notes (what text)
            on-run-end: insert into notes values ('{{ results | length }} results')
        """,
    )
    days = ("--event-time-start", "2026-01-01", "--event-time-end", "2026-01-03")
    spec = StepSpec(name="copy", type="sql", action="", after=("letters",))
    sql = {"step.copy": "create table copied as select * from {{ ref('letters') }}"}
    more = {"python": str(dbt.python), "specs": [spec], "sql": sql, "each": Settings(retries=1)}

    with session(shop, *days, **more) as found:
        found.when(
            "letters_by_day",
            State.UP_FOR_RETRY,
            lambda: (tmp_path / "late").write_text("day\n2026-01-01\n2026-01-02\n"),
        )
        found.drive()

    assert found.selected.dbt_version.startswith(f"{driven.version}.")
    assert found.engine.warnings == []
    states = {id: state for id, state in found.states.items() if state != "success"}
    assert states == {"daily": "failed", "after_daily": "upstream_failed"}
    assert len(found.outcomes("letters_by_day")) == 2
    assert [
        len(found.outcome("daily").details["batch_results"][kind])
        for kind in ("successful", "failed")
    ] == [1, 1]
    assert "Binder Error" in found.outcome("daily").message
    assert shop.query("select count(*) from copied") == [(2,)]
    assert shop.query("select what from notes") == [("7 results",)]
    assert len(shop.results()) == 9
    assert shop.results()["model.shop.after_daily"] == ("skipped", None)


def test_an_interpreter_without_dbt_is_named(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=False)
    python = str(tmp_path / "empty" / "bin" / "python")
    shop = Shop(tmp_path / "shop", {"models/first.sql": "select 1 as id"})

    with session(shop, python=python) as found, pytest.raises(EngineError) as error:
        found.open()

    assert str(error.value) == (
        f"{python} has no dbt-core; install it there, or let engine.python name the interpreter "
        "that has it"
    )


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", {"models/first.sql": "select 1 as id"})

    with session(shop, python="/nowhere/python") as found, pytest.raises(EngineError) as error:
        found.open()

    assert "cannot start /nowhere/python: No such file or directory" in str(error.value)


def test_a_dbt_with_other_methods_is_refused_in_one_sentence() -> None:
    """In a process of its own, which changes dbt as a release might."""
    code = f"""
        import importlib.metadata, json, sys
        sys.path.insert(0, {str(WORKER.parent)!r})
        from dbtorch_worker.compatibility import TESTED, check_compatibility

        def refused():
            try:
                return check_compatibility()
            except RuntimeError as error:
                return str(error)

        found = [refused()]
        version = importlib.metadata.version
        importlib.metadata.version = lambda name: "1.99.0"
        found.append(refused())
        import dbt.task.base, dbt.task.run
        dbt.task.base.BaseRunner.safe_run = lambda self, manifest, mode: None
        del dbt.task.run.RunTask.before_run
        del dbt.task.runnable.GraphRunnableTask.before_run
        found.append(refused())
        sys.modules["dbt.task.base"] = None  # as if it were not there: importing it fails
        found.append(refused())
        print(json.dumps(found))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    fine, unknown, changed, gone = json.loads(done.stdout)

    assert fine == []
    assert len(unknown) == 1
    assert "so the run goes on" in unknown[0]
    assert changed.startswith(
        "dbt-core 1.99.0 has changed BaseRunner.safe_run, RunTask.before_run, which dbtorch builds "
        "on; install dbt-core 1.10 to 1.12"
    )
    assert "has changed BaseRunner.safe_run, BaseRunner.handle_exception" in gone


@pytest.mark.parametrize("path", sorted(WORKER.glob("*.py")), ids=lambda path: path.stem)
def test_the_worker_runs_on_the_oldest_python_that_dbt_does(path: Path) -> None:
    """Python 3.9, for dbt-core 1.10: its syntax, and nothing that later versions import."""
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not imported & {("datetime", "UTC"), ("enum", "StrEnum"), ("typing", "Self")}
