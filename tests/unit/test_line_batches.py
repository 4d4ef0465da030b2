"""What a process prints comes whole, however it comes."""

import os
import signal
import subprocess
import sys

from dbtorch.adapters.dbt.process.dbt_cli.line_batches import line_batches

HALVES = """
import sys, time
for text in ("one\\ntw", "o\\n", "\\nlast"):
    sys.stdout.write(text)
    sys.stdout.flush()
    time.sleep(0.1)
"""

MANY = "print(*range(40_000), sep=chr(10))"


def printed(script):
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        return list(line_batches(process))


def test_lines_come_whole_and_the_last_one_needs_no_end():
    assert [line for lines in printed(HALVES) for line in lines] == [b"one", b"two", b"", b"last"]


def test_many_lines_come_in_few_batches():
    found = printed(MANY)
    assert [line for lines in found for line in lines] == [b"%d" % n for n in range(40_000)]
    assert len(found) < 400


def test_what_somebody_else_holds_open_is_read_no_longer_than_it_lives():
    script = "print('one', flush=True); import subprocess; subprocess.Popen(['sleep', '300'])"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert list(line_batches(process)) == [[b"one"]]  # or it would wait for minutes
        os.killpg(process.pid, signal.SIGKILL)
