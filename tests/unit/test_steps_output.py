"""Secrets are taken out of what a step prints while it prints it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.adapters.processes.kept_process import Process
from dbtorch.core.failures.scrub import Scrubber
from tests.waiting import wait_for

_TEXT = st.text(alphabet="abc", min_size=4, max_size=9)


@given(
    st.lists(_TEXT, min_size=1, max_size=3),
    st.lists(st.binary(max_size=4) | _TEXT.map(str.encode)),
)
def test_no_secret_comes_through_however_the_text_is_cut(
    secrets: list[str], chunks: list[bytes]
) -> None:
    said = b"".join(Scrubber(secrets).stream(chunks))
    for secret in secrets:
        assert not any(secret.encode() in part for part in said.split(b"*****"))


@given(st.lists(st.binary(max_size=5)))
def test_all_else_comes_through_as_it_was(chunks: list[bytes]) -> None:
    everything = b"".join(chunks)
    if b"secret" not in everything:
        assert b"".join(Scrubber(["secret"]).stream(chunks)) == everything


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([b"a line\n", b"another\n"], [b"a line\n", b"another\n"]),  # nothing is held back
        ([b"is: s3", b"cret\n"], [b"is: ", b"*****\n"]),
        ([b"s3cr", b"ab\n"], [b"*****ab\n"]),  # the shorter one after all
        ([b"s3cr"], [b"*****"]),  # the last word may be one, too
    ],
)
def test_what_may_be_the_beginning_of_a_secret_waits(
    chunks: list[bytes], said: list[bytes]
) -> None:
    assert list(Scrubber(["s3cret", "s3cr"]).stream(chunks)) == said


def test_output_is_in_the_log_as_it_happens(tmp_path: Path) -> None:
    process = Process(grace=1)
    log, seen = tmp_path / "log", []

    def started() -> None:
        wait_for(lambda: log.exists() and b"first" in log.read_bytes())
        seen.append(log.read_bytes())
        os.close(os.open(tmp_path / "go", os.O_CREAT | os.O_WRONLY))

    status = process.run(
        [
            "/bin/sh",
            "-c",
            "echo first; while ! test -e go; do sleep 0.02; done; printf 'hun'; sleep 0.1; echo ter2",
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        log=log,
        stdin=None,
        started=started,
        hide=Scrubber(["hunter2"]),
    )

    assert (status, seen) == (0, [b"first\n"])
    assert log.read_bytes() == b"first\n*****\n"
