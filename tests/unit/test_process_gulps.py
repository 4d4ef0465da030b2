"""What a process prints comes whole, however it comes."""

import subprocess
import sys

from dbtorch.adapters.dbt.process.gulps import gulps

HALVES = """
import sys, time
for text in ("one\\ntw", "o\\n", "\\nlast"):
    sys.stdout.write(text)
    sys.stdout.flush()
    time.sleep(0.1)
"""

MANY = "print(*range(200_000), sep=chr(10))"


def printed(script):
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        return list(gulps(process))


def test_lines_come_whole_and_the_last_one_needs_no_end():
    assert [line for lines in printed(HALVES) for line in lines] == [b"one", b"two", b"", b"last"]


def test_many_lines_come_in_few_gulps():
    found = printed(MANY)
    assert [line for lines in found for line in lines] == [b"%d" % n for n in range(200_000)]
    assert len(found) < 2_000
