"""Which relations are gone, as a dbt of its own says; a script stands in for it."""

import json
import os
import sys

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.operations.gone_relations import gone_relations
from dbtorch.adapters.dbt.process.operations.operation import Operation
from dbtorch.adapters.processes.orphan_reaper import Guard
from dbtorch.core.errors import EngineError

#: Has no relation whose name ends with 7, and says what it was asked for.
DBT = r"""
import json, sys
def say(text, level="info"):
    print(json.dumps({"info": {"name": "J", "level": level, "msg": text}, "data": {}}), flush=True)
asked = json.loads(json.loads(sys.argv[sys.argv.index("--args") + 1])["asked"])
with open("asked", "a") as file:
    file.write(json.dumps(asked) + "\n")
for place, (database, schema, name) in enumerate(asked):
    if name == "forbidden":
        say("permission denied for schema", "error")
        sys.exit(1)
    if name == "silent":
        sys.exit(0)
    if name.endswith("7"):
        say("dbtorch: " + json.dumps({"what": "gone", "about": place}))
say("dbtorch: " + json.dumps({"what": "done", "about": None}))
"""


@pytest.fixture
def look(tmp_path):
    (tmp_path / "dbt.py").write_text(DBT)
    guard = Guard(grace=5)
    command = (sys.executable, str(tmp_path / "dbt.py"))
    entry = Launcher(executable="dbt", command=command)
    executable = Executable(entry, tmp_path, os.environ, guard)

    def gone(*names):
        nodes = {name: {"database": "db", "schema": "s", "alias": name} for name in names}
        return gone_relations(Operation(executable, tuple, 5.0), nodes, names)

    yield gone
    guard.close()


def test_one_dbt_is_asked_for_all(look, tmp_path):
    assert look("a1", "a7", "b7", "b8") == {"a7", "b7"}
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert json.loads(asked)[0] == ["db", "s", "a1"]


def test_more_than_a_command_line_holds_are_asked_for_in_parts(look, tmp_path):
    names = [f"{'n' * 100}{number}" for number in range(1500)]
    assert look(*names) == {name for name in names if name.endswith("7")}
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert len(asked) > 1
    assert [name for part in asked for _, _, name in part] == names


@pytest.mark.parametrize(
    ("name", "why"), [("forbidden", "permission denied"), ("silent", "exit code 0")]
)
def test_a_dbt_that_has_not_looked_says_of_nothing_that_it_is_there(look, name, why):
    with pytest.raises(EngineError, match=why):
        look("a1", name)
