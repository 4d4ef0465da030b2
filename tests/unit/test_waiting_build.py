"""A build that waits at a named pipe for what it is to build; a script stands in for dbt."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.artifacts import choose
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.dbt_cli.launcher import Launcher
from dbtorch.adapters.dbt.process.prestart.waiting_build import WaitingBuild
from dbtorch.adapters.processes.orphan_reaper import Guard

#: Prints what its state says has failed.
READS = """
import json, sys
state = sys.argv[sys.argv.index("--state") + 1]
with open(f"{state}/run_results.json") as file:
    print(json.dumps([one["unique_id"] for one in json.load(file)["results"]]), flush=True)
"""

#: So many that a pipe does not take them at once.
MANY = [f"model.shop.m{number}" for number in range(2_000)]

Held = Callable[[str], tuple[WaitingBuild, Executable]]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    guards = []

    def make(script: str) -> tuple[WaitingBuild, Executable]:
        path = tmp_path / "dbt.py"
        path.write_text(textwrap.dedent(script))
        guard = Guard(grace=1)
        guards.append(guard)
        entry = Launcher(executable="dbt", command=(sys.executable, str(path)))
        executable = Executable(entry, tmp_path, os.environ, guard)
        return WaitingBuild(executable, DbtArgs.of(()), tmp_path / "held"), executable

    yield make
    for guard in guards:
        guard.close()


@pytest.mark.parametrize("full", [False, True], ids=["", "the disk is full"])
@pytest.mark.parametrize("late", [False, True], ids=["it waits already", "it comes later"])
def test_it_builds_what_it_is_told(held: Held, tmp_path: Path, *, late: bool, full: bool) -> None:
    told = tmp_path / "told"
    parses = f"""
import os, time
while {late} and not os.path.exists({str(told)!r}):
    time.sleep(0.01)
print("ready", flush=True)
"""
    build, executable = held(parses + READS)
    process = build._process
    assert process.stdout is not None
    if full:
        (tmp_path / "held" / "run_results.draft").mkdir()  # so no file of that name can be made
    if not late:
        assert process.stdout.readline() == b"ready\n"
    assert build.go_on(choose(tmp_path / "batch", MANY)) is process
    told.touch()
    assert json.loads(process.stdout.read().removeprefix(b"ready\n")) == MANY
    assert executable.ended(process) == 0


def test_one_that_has_ended_is_told_nothing(held: Held, tmp_path: Path) -> None:
    build, _ = held("raise SystemExit(1)")
    folder = choose(tmp_path / "batch", MANY)
    build._process.wait()
    assert build.go_on(folder) is None


def test_one_that_is_of_no_use_ends(held: Held) -> None:
    build, _ = held(READS)
    build.give_up()
    assert build._process.returncode is not None
