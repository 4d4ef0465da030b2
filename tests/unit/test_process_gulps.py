"""What a process prints comes whole, however it comes."""

import subprocess
import sys
import time

from dbtorch.adapters.dbt.process.gulps import _EVERY, _SOON, _patience, gulps

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


def test_the_last_gulp_comes_when_what_is_left_may_be_done(monkeypatch):
    monkeypatch.setattr("dbtorch.adapters.dbt.process.gulps._EVERY", 60.0)  # or at the end
    script = """
import sys, time

def say(*numbers):  # whole lines, also where Python is told not to buffer
    sys.stdout.write("".join(f"{number}\\n" for number in numbers))
    sys.stdout.flush()

say(*range(40))  # with the time that Python takes to start
for number in range(40, 50):
    say(number)
    time.sleep(0.01)
sys.stdin.read()  # it ends when somebody has heard the last of it
"""
    told = set()
    command, began = [sys.executable, "-c", script], time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for lines in gulps(process, left=lambda: 50 - len(told)):
            told.update(lines)
            if len(told) == 50:
                process.stdin.close()
    assert len(told) == 50
    assert time.monotonic() - began < 30


def test_who_does_nothing_for_a_while_is_not_looked_at_more_often():
    assert _patience(0, 0.25, 7) == _EVERY
    assert _patience(10, 0.25, 0) == _EVERY
    assert _patience(10, 0.25, 1_000) == _EVERY
    assert _patience(10, 0.25, 4) == 0.1
    assert _patience(10, 0.25, 1) == _SOON
