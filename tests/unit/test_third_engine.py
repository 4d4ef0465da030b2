"""An engine that was written from CONTRIBUTING alone drives runs, and nobody asks what it is."""

from __future__ import annotations

import ast
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dbtorch
from dbtorch.ports.engine import Engine
from dbtorch.service.wiring.engines import Engines
from tests import sqlite_engine
from tests.sqlite_engine import SqliteEngine
from tests.unit.spoken import Shell, a_project

#: Our modules that know which engines there are: their own, and the place that builds them.
KNOW = (
    "adapters/dbt/session/engine.py",
    "adapters/dbt/process/engine.py",
    "service/wiring/engines.py",
)

MODELS = {
    "stg_orders": "select 1 as id, 10 as amount union all select 2, 20",
    "orders": "select id, amount * 2 as amount from {{ ref('stg_orders') }}",
    "bad": "select * from nowhere",
    "after_bad": "select * from {{ ref('bad') }}",
}


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    """Commands in a project of SQL files alone."""
    folder = a_project(tmp_path / "shop")
    (folder / "profiles.yml").write_text("shop: {target: dev, outputs: {dev: {type: sqlite}}}")
    (folder / "models").mkdir()
    for name, text in MODELS.items():
        (folder / "models" / f"{name}.sql").write_text(text)

    def chosen(engines: Engines, emit, choice=None) -> Engine:  # type: ignore[no-untyped-def]
        return SqliteEngine(engines.project.dir, emit)

    monkeypatch.setattr(Engines, "chosen", chosen)
    monkeypatch.chdir(folder)
    return Shell(folder, capsys)


def rows(shell: Shell, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(shell.folder / "shop.sqlite")) as file:
        return file.execute(f"select * from {table} order by 1").fetchall()


def states(shell: Shell) -> dict[str, str]:
    nodes = json.loads(shell("show", "latest", "--format", "json").out)["nodes"]
    return {node["name"]: node["state"] for node in nodes if node["kind"] == "model"}


def test_a_run_that_fails_and_its_retry(shell: Shell) -> None:
    ran = shell("run", "--retries", "1", "--retry-delay", "0s")
    assert ran.code == 1, ran
    assert "no such table: nowhere" in ran.out + ran.err
    assert states(shell) == {
        "stg_orders": "success",
        "orders": "success",
        "bad": "failed",
        "after_bad": "upstream_failed",
    }
    assert rows(shell, "orders") == [(1, 20), (2, 40)]

    (shell.folder / "models" / "bad.sql").write_text("select 7 as id")
    with closing(sqlite3.connect(shell.folder / "shop.sqlite")) as file:
        file.execute("drop table orders")  # which had succeeded
    assert shell("retry", "latest").code == 0
    assert set(states(shell).values()) == {"success"}
    assert rows(shell, "orders") == [(1, 20), (2, 40)]
    assert rows(shell, "after_bad") == [(7,)]


def test_plan_and_freshness(shell: Shell) -> None:
    plan = json.loads(shell("plan", "--format", "json").out)
    assert {node["id"] for node in plan["nodes"]} >= {f"model.shop.{name}" for name in MODELS}

    old = datetime.now(UTC) - timedelta(days=2)
    with closing(sqlite3.connect(shell.folder / "shop.sqlite")) as file, file:
        file.execute("create table events (loaded_at)")
        file.execute("insert into events values (?)", [old.isoformat()])
    source = {"table": "events", "error_after": 86_400}
    (shell.folder / "sources.json").write_text(json.dumps({"source.shop.raw.events": source}))
    stale = shell("freshness", "--format", "json")
    assert stale.code == 3, stale
    (found,) = json.loads(stale.out)["sources"]
    assert (found["status"], found["failure_class"]) == ("error", "data")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_it_knows_ports_and_values_alone() -> None:
    path = Path(sqlite_engine.__file__)
    ours = {name for name in imported(path) if name.split(".")[0] not in sys.stdlib_module_names}
    assert ours
    assert [name for name in ours if not name.startswith(("dbtorch.core.", "dbtorch.ports"))] == []


def test_nobody_but_who_builds_them_knows_which_engines_there_are() -> None:
    root = Path(dbtorch.__file__).parent
    names = {"SessionEngine", "ProcessEngine"}
    texts = {path: path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    knows = {
        path.relative_to(root).as_posix()
        for path, text in texts.items()
        if any(name in text for name in names)  # to parse all of them takes seconds
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.ImportFrom) and names & {alias.name for alias in node.names})
        or (isinstance(node, ast.ClassDef) and node.name in names)
    }
    assert knows == set(KNOW)
