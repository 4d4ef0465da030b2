"""Full disks and read-only folders: a run stops with a sentence, and goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.workspace import Done, Workspace
from tests.engines import PROCESS_2, SESSION_1_11, Can, over, shows

FILES = {
    "dbtorch.yml": """
        defaults: {retry: {retries: 1, delay: 0s}}
        steps:
          load: {command: "echo loaded >> loaded.txt", produces: "source:raw.landed"}
          fill: {command: "test -e room || ( %s ); exit 0", after: first, produces: "source:raw.it"}
          push: {command: "echo pushed >> pushed.txt", after: [last]}
    """,
    "models/sources.yml": "sources: [{name: raw, tables: [{name: landed}, {name: it}]}]",
    "models/first.sql": "select 1 as id",
    # it follows the step, as far as dbt can tell
    "models/second.sql": "-- {{ source('raw', 'it') }}\nselect * from {{ ref('first') }}",
    "models/third.sql": "select * from {{ ref('second') }}",
    "models/last.sql": "select * from {{ ref('third') }}",
}

MODELS = {"first", "second", "third", "last"}
STEPS = {"load", "fill", "push"}


@pytest.fixture
def disks() -> Iterator[list[Path]]:
    """Folders that are small disks; unmounted afterwards."""
    mounted: list[Path] = []
    yield mounted
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", folder], check=True)


class Disk:
    """A small disk in a folder, which may be filled and emptied."""

    def __init__(self, folder: Path, disks: list[Path], *, files: int = 4000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        size = f"size=8m,nr_inodes={files}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.decode().strip()}")
        disks.append(folder)
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self, *, but: int = 0) -> None:
        """Leave so many kilobytes."""
        with self.ballast.open("wb") as file:
            left = os.statvfs(self.folder)
            file.write(bytes(left.f_bavail * left.f_frsize - but * 1024))

    def empty(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)


def make(workspace: Workspace, fill: str = "true") -> None:
    """A project whose step does something bad in the middle, while there is no file ``room``."""
    workspace.write({**FILES, "dbtorch.yml": FILES["dbtorch.yml"] % fill})


def stopped(workspace: Workspace, *args: str, code: int = 2, sentences: int = 1) -> Done:
    """A run that ends early: one sentence, no traceback, and nothing left running."""
    done = workspace.dbtorch("run", *args, code=code)
    assert done.err.count("Error: ") == sentences, done.all
    assert workspace.is_quiet()
    return done


def finishes(workspace: Workspace, *, run: bool = False) -> None:
    """With room, the run goes on to its end; what had succeeded is not executed again."""
    before = {} if run else workspace.show().nodes
    workspace.write({"room": ""})
    workspace.dbtorch("run" if run else "retry")
    shown = workspace.show()
    assert shown.state == "success"
    assert shown.names("success") >= MODELS | STEPS
    for name, node in before.items():
        good = [one["number"] for one in node["attempts"] if one["state"] == "success"]
        assert not good or shown.tries[name] == max(good), name
    assert views(workspace) >= MODELS
    assert set(workspace.results().values()) == {"success"}


def views(workspace: Workspace) -> set[str]:
    found = workspace.query("select view_name from duckdb_views() where not internal")
    return {name for (name,) in found}


def nothing_green_that_is_not_there(workspace: Workspace) -> None:
    shown = workspace.show()
    assert shown.names("success") & MODELS <= views(workspace)
    assert shown.states["push"] != "success"


def test_a_disk_that_takes_nothing_from_the_start(workspace: Workspace, disks: list[Path]) -> None:
    make(workspace)
    disk = Disk(workspace.dir / ".dbtorch", disks)
    disk.remount("ro")
    assert "Read-only file system" in stopped(workspace).err
    disk.remount("rw")
    for kilobytes in (0, 64):
        disk.fill(but=kilobytes)
        assert str(disk.folder) in stopped(workspace).err
        disk.empty()
        assert not (workspace.dir / "pushed.txt").exists()
    finishes(workspace, run=not workspace.runs())


@over(SESSION_1_11, PROCESS_2)
@shows(Can.FULL_DISK)
def test_a_disk_that_is_full_in_the_middle_of_a_run(
    workspace: Workspace, disks: list[Path]
) -> None:
    make(workspace, "cat /dev/zero > .dbtorch/ballast")
    disk = Disk(workspace.dir / ".dbtorch", disks)
    done = stopped(workspace)
    assert "cannot grow (database or disk is full): make room on the disk and try again" in done.err
    disk.empty()
    nothing_green_that_is_not_there(workspace)
    finishes(workspace)
    assert workspace.lines("loaded.txt") == ["loaded"]


@over(SESSION_1_11, PROCESS_2)
@shows(Can.FULL_DISK)
def test_a_log_that_cannot_be_written_fails_steps_and_no_model(
    workspace: Workspace, disks: list[Path]
) -> None:
    # no files are left, in the folder of the logs alone
    make(workspace, "while : > .dbtorch/runs/$(date +%N); do :; done")
    disk = Disk(workspace.dir / ".dbtorch" / "runs", disks, files=60)
    stopped(workspace, code=1, sentences=0)
    shown = workspace.show()
    assert shown.names("success") == {"load", "fill", *MODELS}
    assert shown.names("failed") == {"push"}
    reason = shown.nodes["push"]["attempts"][-1]["message"]
    assert "the log of the attempt cannot be written" in reason
    assert "No space left on device" in reason
    for file in disk.folder.glob("[0-9]*[0-9]"):
        if file.is_file():
            file.unlink()
    finishes(workspace)
    assert workspace.lines("loaded.txt") == ["loaded"]


def test_artifacts_that_cannot_be_written(workspace: Workspace, disks: list[Path]) -> None:
    make(workspace)
    disk = Disk(workspace.dir / "target", disks)
    disk.fill()
    # it may pass by itself, so it is a failure and no mistake of the user's
    assert "No space left on device" in stopped(workspace, code=1).err
    disk.empty()
    finishes(workspace, run=True)


@over(SESSION_1_11, PROCESS_2)
@shows(Can.FULL_DISK)
def test_artifacts_that_cannot_be_written_any_more(workspace: Workspace, disks: list[Path]) -> None:
    make(workspace, "cat /dev/zero > target/ballast")
    disk = Disk(workspace.dir / "target", disks)
    done = stopped(workspace, code=1, sentences=0)
    assert "No space left on device" in done.all
    nothing_green_that_is_not_there(workspace)
    disk.empty()
    finishes(workspace)
