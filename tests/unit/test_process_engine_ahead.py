"""Where dbts write while another one reads the project ahead; a script stands in for dbt 2."""

from __future__ import annotations

import os
import queue
import sys
from dataclasses import replace
from pathlib import Path

from dbtorch.adapters.dbt.process.engine import ProcessEngine, ProcessRequest
from dbtorch.adapters.dbt.process.entry import Entry
from dbtorch.core.events import Attempt, Batch, Ended
from dbtorch.core.graph import Kind, Node
from tests.acceptance.workspace import eventually
from tests.unit.test_head_start import selected

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


def test_a_source_is_not_checked_where_a_build_reads_the_project(tmp_path: Path) -> None:
    (tmp_path / "dbt.py").write_text(SCRIPT)
    project = "name: shop\nflags: {send_anonymous_usage_stats: false}\n"
    (tmp_path / "dbt_project.yml").write_text(project)
    told: queue.Queue[object] = queue.Queue()
    request = ProcessRequest(
        entry=Entry(
            executable="dbt",
            command=(sys.executable, str(tmp_path / "dbt.py")),
            waits=True,
            reads_first=True,
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
    engine = ProcessEngine(request, told.put)
    try:
        engine.launch()
        assert eventually(lambda: any(tmp_path.glob("called.*")), seconds=60)
        assert engine.expect(kept)  # so nobody lists
        engine.accept()
        engine.start(Batch(1, (Attempt(SOURCE, 1),)))
        while not isinstance(told.get(timeout=60), Ended):
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
