"""How the command ends: at once, and with nothing lost that was to be said."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "dbtorch"]


def test_nothing_is_taken_apart_but_what_others_registered_is_done_and_the_code_kept() -> None:
    script = """
import atexit, sys
import dbtorch.cli.main as module
from dbtorch.__main__ import main

command = module.main

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()

def imports_something():
    atexit.register(lambda: print("registered"))
    return command()

module.main = imports_something
sys.argv = ["dbtorch", sys.argv[1]]
main()
"""
    for word, code in (("--version", 0), ("nonsense", 2)):
        done = subprocess.run(
            [sys.executable, "-c", script, word], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert done.stdout.endswith("registered\n")


def test_nobody_who_listens_is_no_failure() -> None:
    for closed in (">&-", "2>&-"):
        line = f'"$@" --version {closed}'
        done = subprocess.run(["/bin/sh", "-c", line, "sh", *COMMAND], check=False)
        assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_is_said() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert "make room on the disk" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_that_comes_before_anybody_hears_it_is_no_traceback(tmp_path: Path) -> None:
    script = """
import sys
from dbtorch.__main__ import main

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "dbtorch.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.argv = ["dbtorch", "run"]
main()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
