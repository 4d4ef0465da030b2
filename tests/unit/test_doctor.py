"""`dbtorch doctor` asks dbt two things at a time, as each takes seconds."""

from __future__ import annotations

import sys

import pytest

from dbtorch.service.doctor import examine as doctor
from dbtorch.service.doctor.finding import Finding
from dbtorch.service.project.options import RunOptions
from tests.waiting import wait_for

pytestmark = pytest.mark.starts

#: An interpreter with a dbt; `dbt debug` answers when the project has been read, or never has.
PYTHON = """\
#!{python} -S
import os, sys, time
os.chdir({folder!r})
with open("starts", "a") as file:
    file.write(" ".join(sys.argv[3:5]) + "\\n")
if "debug" not in sys.argv:
    print('{{"dbt-core": "1.11.3", "dbt-duckdb": "1.11.1"}}')
    sys.exit()
until = time.monotonic() + 20
while not os.path.exists("read") and time.monotonic() < until:
    time.sleep(0.02)
print('{{"quick macros": "", "relations by name": "this dbt has another parse"}}')
print("  adapter type: duckdb")
sys.exit(0 if os.path.exists("read") else 1)
"""


def test_dbt_connects_while_it_reads_the_project(tmp_path, monkeypatch):
    (tmp_path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    (tmp_path / "dbtorch.yml").write_text("engine: {type: session, python: ./python}\n")
    (tmp_path / "python").write_text(PYTHON.format(python=sys.executable, folder=str(tmp_path)))
    (tmp_path / "python").chmod(0o755)
    starts = tmp_path / "starts"

    def read(options, warn):
        wait_for(lambda: "debug" in starts.read_text())
        warn("dbt: something is deprecated")
        (tmp_path / "read").touch()
        return Finding("parse", True, "dbt reads the project: 3 nodes")

    monkeypatch.setattr(doctor, "_parses", read)
    warned = []
    options = RunOptions(project_dir=str(tmp_path))
    found = {one.check: one for one in doctor.examine(options, warn=warned.append)}
    assert [check for check in found if check in ("patches", "connection", "parse")] == [
        "patches",
        "connection",
        "parse",
    ]
    assert all(one.ok for one in found.values())
    assert found["patches"].found == (
        "quick macros; not relations by name: this dbt has another parse"
    )
    assert found["connection"].found == "duckdb answers"
    assert warned == ["dbt: something is deprecated"]
    # dbt is imported for both, and for nothing besides
    assert starts.read_text().splitlines() == ["", "debug --connection"]
