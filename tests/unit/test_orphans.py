"""What dbt leaves behind ends with the command, and nothing else does."""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans away")

#: A command: its dbt leaves things behind, beside it there is something of its caller's.
COMMAND = """
    import os, subprocess, sys, time
    from dbtorch.adapters.processes import subreaper
    from dbtorch.adapters.processes.reaping import below

    def start(*command):
        devnull = subprocess.DEVNULL
        streams = dict(stdin=devnull, stdout=devnull, stderr=devnull)
        process = subprocess.Popen(command, start_new_session=True, **streams)
        subreaper.own(process.pid)
        return process

    {ours}
    mine = subprocess.Popen(["sleep", "300"])  # in our session: nobody's orphan
    still = start("sleep", "300").pid  # a dbt that is abandoned, and goes by itself
    dbt = start("/bin/sh", "-c", sys.argv[1])
    dbt.wait()
    before, until = set(), time.monotonic() + 60
    while len(before) < int(sys.argv[2]) and time.monotonic() < until:
        before = below(os.getpid()) - {{mine.pid, still}}
    subreaper.end(grace=0.2)
    after = below(os.getpid())
    print(len(before) >= int(sys.argv[2]), after == {{mine.pid, still}})
    for pid in before | after:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    mine.wait()
"""

AWAY = [
    ("env -i setsid -f sleep 300", 1),
    ("setsid -f sh -c 'sleep 300 & setsid -f sleep 300; wait'", 3),
    ("trap '' TERM; setsid -f sleep 300", 1),
    ("exit 0", 0),
]


def came_to(command: str, count: int, *, ours: str = "subreaper.take_over()") -> str:
    code = textwrap.dedent(COMMAND).format(ours=ours)
    words = [sys.executable, "-c", code, command, str(count)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(("command", "count"), AWAY)
def test_what_dbt_has_left_behind_ends_with_the_command(command: str, count: int) -> None:
    assert came_to(command, count) == "True True"


def test_where_dbtorch_is_a_part_of_something_else_nothing_is_adopted() -> None:
    assert came_to("exit 0", 0, ours="") == "True True"
