"""Whose turn it is on the processor: the policies that a real kernel says it follows."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "SCHED_BATCH"), reason="this system has no SCHED_BATCH"
)

#: What each script begins with.
BEGIN = """
import os, subprocess, sys, threading
from dbtorch.adapters import posix
from dbtorch.adapters.turns import InFront, stand_back

NAMES = {os.SCHED_OTHER: "other", os.SCHED_BATCH: "batch", os.SCHED_IDLE: "idle"}

def mine():
    return NAMES[os.sched_getscheduler(0)]

def of_a_thread():
    said = []
    thread = threading.Thread(target=lambda: said.append(mine()))
    thread.start()
    thread.join()
    return said[0]

TELL = "import os; print(os.sched_getscheduler(0))"

def of_a_child():
    done = subprocess.run([sys.executable, "-c", TELL], stdout=subprocess.PIPE, check=True)
    return NAMES[int(done.stdout)]
"""


def told(script: str) -> list[str]:
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", BEGIN + script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_who_stands_back_interrupts_nobody_in_any_thread() -> None:
    assert told("print(mine()); stand_back(); stand_back(); print(mine(), of_a_thread())") == [
        "other",
        "batch",
        "batch",
    ]


def test_what_is_started_in_front_is_as_any_other_program() -> None:
    script = """
stand_back()
print(of_a_child())
with InFront():
    print(mine(), of_a_child())
print(mine())
"""
    assert told(script) == ["batch", "other", "other", "batch"]


def test_so_is_what_is_started_without_subprocess() -> None:
    script = """
stand_back()
read, write = os.pipe()
posix.wait(posix.start([sys.executable, "-c", TELL], os.environ, output=write))
print(NAMES[int(os.read(read, 9))], mine())
"""
    assert told(script) == ["other", "batch"]


def test_a_policy_that_somebody_chose_stays() -> None:
    script = """
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
stand_back()
with InFront():
    print(mine(), of_a_child())
print(mine())
"""
    assert told(script) == ["idle", "idle", "idle"]


@pytest.mark.parametrize(("verb", "policy"), [("run", "batch"), ("show", "other")])
def test_a_run_stands_back_before_it_imports_what_takes_its_time(verb: str, policy: str) -> None:
    script = f"""
class Telling:
    def find_spec(self, name, path=None, target=None):
        if name == "dbtorch.cli.main":
            print(mine(), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Telling())
sys.argv = ["dbtorch", "{verb}"]
from dbtorch.__main__ import main
main()
"""
    assert told(script) == [policy]


@pytest.mark.parametrize("refusal", ["PermissionError(1, 'no')", "OSError(38, 'not implemented')"])
def test_a_refusal_is_no_matter(refusal: str) -> None:
    script = f"""
def refuse(*_):
    raise {refusal}

os.sched_setscheduler = refuse
stand_back()
with InFront():
    print(mine(), of_a_child())
"""
    assert told(script) == ["other", "other"]


def test_a_system_without_policies() -> None:
    script = """
for name in ("SCHED_BATCH", "SCHED_OTHER", "sched_setscheduler"):
    delattr(os, name)
stand_back()
with InFront():
    print(of_a_child())
"""
    assert told("NAMES = {0: 'other'}\n" + script) == ["other"]
