"""What a warm process does before any run is due leaves no trace, and spares the run decoding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can copy processes so")

#: All of it in a process of its own; tells what came of it.
REHEARSE = """
import json, os, sys
from pathlib import Path
import dbt.cli.main
from dbtorch.adapters.dbt.dbtorch_worker.rehearsal import (
    Rehearsal, import_dbt, refuse_what_cannot_be_copied,
)

def files():
    return {str(p): p.stat().st_mtime_ns for p in Path().rglob("*") if "__pycache__" not in str(p)}

import_dbt()
before = files()
first = Rehearsal(["--project-dir", os.getcwd()])
why = [first.read_project()]  # nothing is kept yet
done = [first.done]
first.refresh()
behind = [first.is_behind]

from dbt.contracts.graph.manifest import Manifest
from dbt.parser.manifest import extended_mashumuro_decoder
traces = sorted(files().items() ^ before.items())
if os.fork() == 0:  # as a run does
    os._exit(not dbt.cli.main.dbtRunner().invoke(["parse", "--quiet"]).success)
assert os.wait()[1] == 0
behind.append(first.is_behind)
before = files()
why.append(first.read_project())
done.append(first.done)
first.refresh()
behind.append(first.is_behind)
traces += sorted(files().items() ^ before.items())
refuse_what_cannot_be_copied()
kept = Path("target/partial_parse.msgpack").read_bytes()
decoded = first._manifest
first.hand_over()

def decode(content):
    return Manifest.from_msgpack(content, decoder=extended_mashumuro_decoder)

handed = decode(kept)
again = decode(kept)
first.refresh()
first.hand_over()
other = decode(kept.replace(b"the first", b"the other"))

Path("dbt_project.yml").write_text("name: nowhere at all")
why.append(Rehearsal(["--project-dir", os.getcwd()]).read_project())
print(json.dumps({
    "why": why, "done": done, "traces": traces, "behind": behind, "handed": handed is decoded,
    "again": again is decoded, "other": other is decoded,
    "own lock": type(handed._lock).__module__, "nodes": list(handed.nodes),
    "description": other.nodes["model.shop.m"].description,
}))
"""


def test_the_project_is_read_without_a_trace_and_its_parse_is_handed_over_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").mkdir()
    flags = "flags: {send_anonymous_usage_stats: false}\n"
    (tmp_path / "dbt_project.yml").write_text(f"name: shop\nprofile: shop\n{flags}")
    (tmp_path / "profiles.yml").write_text(
        "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: x.duckdb}\n"
    )
    (tmp_path / "models" / "m.sql").write_text("select 1 as id")
    (tmp_path / "models" / "m.yml").write_text("models: [{name: m, description: the first}]\n")
    done = subprocess.run(
        [sys.executable, "-c", REHEARSE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert "profile" in said["why"].pop()
    assert said["why"].pop(0).startswith("dbt keeps no parse of the project as it is")
    assert said == {
        "why": [""],
        "done": [False, True],
        "traces": [],
        "behind": [False, True, False],
        "handed": True,
        "again": False,  # dbt has changed it since
        "other": False,  # of other bytes
        "own lock": "multiprocessing.synchronize",
        "nodes": ["model.shop.m"],
        "description": "the other",
    }
    assert not (tmp_path / "x.duckdb").exists()
