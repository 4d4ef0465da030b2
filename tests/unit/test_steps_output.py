"""Secrets are taken out of what a step prints while it prints it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbtorch.adapters.steps.guard import Guard
from dbtorch.adapters.steps.output import hidden, scrubbed
from dbtorch.adapters.steps.process import Process
from dbtorch.core.scrub import secrets_of

_TEXT = st.text(alphabet="abc", min_size=1, max_size=4).map(str.encode)


@given(st.lists(_TEXT, min_size=1, max_size=3), st.lists(st.binary(max_size=4) | _TEXT))
def test_no_secret_comes_through_however_the_text_is_cut(
    secrets: list[bytes], chunks: list[bytes]
) -> None:
    known = tuple(sorted(secrets, key=len, reverse=True))
    said = b"".join(scrubbed(chunks, known))
    assert not any(secret in part for part in said.split(b"*****") for secret in known)


@given(st.lists(st.binary(max_size=5)))
def test_all_else_comes_through_as_it_was(chunks: list[bytes]) -> None:
    everything = b"".join(chunks)
    if b"secret" not in everything:
        assert b"".join(scrubbed(chunks, (b"secret",))) == everything


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
    assert list(scrubbed(chunks, (b"s3cret", b"s3cr"))) == said


def test_secrets_are_the_values_of_dbts_variables() -> None:
    env = {"DBT_ENV_SECRET_A": "long one", "DBT_ENV_SECRET": "x", "DBT_ENV_SECRET_B": " ", "B": "b"}
    assert secrets_of(env) == ("long one", "x")
    told = {"key x": ["x", {"n": 1, "long one": None}]}
    assert hidden(told, ("long one", "x")) == {"key *****": ["*****", {"n": 1, "*****": None}]}


def test_output_is_in_the_log_as_it_happens(tmp_path: Path) -> None:
    guard = Guard(grace=1, scratch=tmp_path / "scratch")
    process = Process(grace=1, guard=guard)
    log, seen = tmp_path / "log", []

    def started() -> None:
        until = time.monotonic() + 10
        while not (log.exists() and b"first" in log.read_bytes()):
            assert time.monotonic() < until
            time.sleep(0.01)
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
        secrets=["hunter2"],
    )
    guard.close()

    assert (status, seen) == (0, [b"first\n"])
    assert log.read_bytes() == b"first\n*****\n"
