"""A dbt that reads the project ahead, and none that does; a script stands in for dbt 2."""

from __future__ import annotations

import os
import queue
import sys
from dataclasses import replace
from pathlib import Path

from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest
from dbtorch.adapters.dbt.process.generation import DBT_2
from dbtorch.core.model.events import Attempt, Batch, Ended
from dbtorch.core.model.graph import Kind, Node
from tests.acceptance.workspace import eventually
from tests.unit.test_head_start import selected
from tests.waiting import PATIENCE

MODEL, SOURCE = "model.shop.a", "source.shop.raw.loads"

#: Says how it was called, and what of usage statistics; a build then waits for its nodes.
SCRIPT = """
import os, sys
with open("draft", "w") as file:
    file.write("\\n".join([*sys.argv[1:], os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"]]))
os.rename("draft", f"called.{os.getpid()}")
if sys.argv[1] == "build":
    open(sys.argv[sys.argv.index("--state") + 1] + "/run_results.json").read()
"""


def a_request(tmp_path: Path) -> ProcessRequest:
    """One that calls the script."""
    (tmp_path / "dbt.py").write_text(SCRIPT)
    project = "name: shop\nflags: {send_anonymous_usage_stats: false}\n"
    (tmp_path / "dbt_project.yml").write_text(project)
    return ProcessRequest(
        entry=Launcher(
            executable="dbt",
            command=(sys.executable, str(tmp_path / "dbt.py")),
            generation=DBT_2,
        ),
        args=(),
        project_dir=tmp_path,
        cwd=tmp_path,
        environ={name: value for name, value in os.environ.items() if name[:4] != "DBT_"},
        log_path=lambda attempt: tmp_path / f"{attempt.node_id}.log",
        console=tmp_path / "console.log",
        scratch=tmp_path / "scratch",
        grace=1.0,
    )


def test_a_build_that_nobody_has_a_use_for_is_ended_and_reaped(tmp_path: Path) -> None:
    """What comes to nothing starts no dbt, and so takes none that is held."""
    told: queue.Queue[object] = queue.Queue()
    exposure = "exposure.shop.board"
    kept = replace(
        selected(tmp_path),
        nodes=(Node(id=exposure, kind=Kind.EXPOSURE, name="board"),),
        selected=frozenset({exposure}),
        selected_edges=(),
        hooks=(),
        manifest_digest="known",
    )
    engine = ProcessEngine(a_request(tmp_path), told.put)
    try:
        engine.launch()
        held = engine._prestart._waiting
        assert held is not None
        assert engine.start_speculatively(kept)
        engine.accept()
        engine.start(Batch(1, (Attempt(exposure, 1),)))
        while not isinstance(told.get(timeout=PATIENCE), Ended):
            pass
        assert engine._prestart._waiting is held
    finally:
        engine.close()
    assert held._process.returncode is not None


def test_without_one_that_waits_dbt_is_asked_and_nothing_else_is_started(tmp_path: Path) -> None:
    """Then a build is started once its nodes are known, as the contract suite has it."""
    kept = replace(selected(tmp_path), hooks=(), manifest_digest="known")
    engine = ProcessEngine(replace(a_request(tmp_path), prestart=False), lambda _: None)
    try:
        assert not engine.plans_from_cache
        engine.launch()
        assert not engine.start_speculatively(kept)
        assert eventually(lambda: any(tmp_path.glob("called.*")))
    finally:
        engine.close()
    calls = [path.read_text().split("\n") for path in tmp_path.glob("called.*")]
    assert [words[0] for words in calls] == ["list"]


def test_a_source_is_not_checked_where_a_build_reads_the_project(tmp_path: Path) -> None:
    told: queue.Queue[object] = queue.Queue()
    kept = replace(
        selected(tmp_path),
        nodes=(
            Node(id=MODEL, kind=Kind.MODEL, name="a"),
            Node(id=SOURCE, kind=Kind.SOURCE, name="raw.loads"),
        ),
        selected=frozenset({MODEL}),
        selected_sources=frozenset({SOURCE}),
        hooks=(),
        manifest_digest="known",
    )
    engine = ProcessEngine(a_request(tmp_path), told.put)
    try:
        engine.launch()
        assert eventually(lambda: any(tmp_path.glob("called.*")))
        assert engine.start_speculatively(kept)  # so nobody lists
        engine.accept()
        engine.start(Batch(1, (Attempt(SOURCE, 1),)))
        while not isinstance(told.get(timeout=PATIENCE), Ended):
            pass
    finally:
        engine.close()
    calls = [path.read_text().split("\n") for path in tmp_path.glob("called.*")]
    (checked,) = [words for words in calls if words[:2] == ["source", "freshness"]]
    place = Path(checked[checked.index("--target-path") + 1])
    assert place.is_relative_to(tmp_path / "scratch")
    assert not any(words[0] == "list" for words in calls)
    assert {words[-1] for words in calls} == {"false"}  # dbt 2 does not read it in the project
    assert {"build", "source"} == {words[0] for words in calls}
