"""Whatever is written on the command line, it is done or refused in a sentence."""

from __future__ import annotations

import random
import re
from pathlib import Path

import click
import pytest

from dbtorch.cli.main import COMMANDS, cli
from dbtorch.service.history import remote_log
from tests.unit.evil import TEXTS
from tests.unit.spoken import RUN, Shell, a_history, a_project, without_dbt

#: A value for each type of value that makes its option mean something.
GOOD = ("latest", RUN, "fct_orders", "daily", "json", "1", "2h", "08:00", "success", "2026-03-01")

PIPELINES = """\
pipelines:
  daily: {schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}, deadline: "08:00"}
  hourly: {schedule: "@hourly"}
"""

#: Nothing else than fuzzing is to come of these: they read folders, or wait for people.
LEFT_OUT = {"--help", "--project-dir", "--version"}


def options(command: click.Command) -> list[tuple[str, bool]]:
    """Names of a command's options, and whether they take a value."""
    found = []
    for param in command.params:
        if isinstance(param, click.Option):
            names = [*param.opts, *param.secondary_opts]
            found += [(name, not param.is_flag) for name in names if name not in LEFT_OUT]
    return found


def command_lines(chance: random.Random, name: str, count: int) -> list[tuple[str, ...]]:
    """Command lines of a verb, most of them wrong in one or two places."""
    command: click.Command | None = cli
    for word in name.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command is not None
    known = options(command)
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    lines = []
    for _ in range(count):
        words = [chance.choice(GOOD) for _ in arguments]
        for option, takes in chance.sample(known, min(len(known), chance.randrange(4))):
            words.append(option)
            if takes:
                words.append(chance.choice(TEXTS if chance.random() < 0.7 else GOOD))
        if words and chance.random() < 0.4:
            words[chance.randrange(len(words))] = chance.choice(TEXTS)
        lines.append(
            (*name.split(), *(word.replace("\0", "").replace("\ud800", "") for word in words))
        )
    return lines


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    folder = a_project(tmp_path / "shop", text=PIPELINES)
    a_history(folder)
    without_dbt(monkeypatch, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(remote_log, "_EVERY", 0)  # nobody uploads a log a moment later
    return Shell(folder, capsys)


#: These start dbt, or never end: what they refuse is tested with them.
NOT_HERE = {"alerts", "doctor", "check-idempotent", "serve", "ui"}


@pytest.mark.parametrize(
    "name", [*sorted(COMMANDS.keys() - NOT_HERE), "alerts list", "alerts flush", "alerts test"]
)
def test_any_command_line(name: str, shell: Shell) -> None:
    for words in command_lines(random.Random(name), name, 60):
        try:
            shell(*words)
        except BaseException as error:
            error.add_note(f"dbtorch {' '.join(words)[:300]!r}")
            raise


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("run", "--logical-date", "9999-12-31T23:59:59-12:00"),
            "Error: Invalid value for '--logical-date': '9999-12-31T23:59:59-12:00' is not between"
            " 1900-01-01 and 2999-12-31",
        ),
        (("run", "--logical-date", "0001-01-01"), "is not between 1900-01-01 and 2999-12-31"),
        (("run", "--logical-date", "yesterday"), "'yesterday' is no date; write 2026-11-21"),
        (("runs", "--limit", "9" * 20), "is not in the range 1<=x<=1000000"),
        (("run", "--threads", "9" * 20), "is not in the range 1<=x<=1000"),
        (("run", "--retries", "1001"), "is not in the range 0<=x<=1000"),
        (("run", "--timeout", "abc"), "'abc' is no duration; a duration is a number of seconds"),
        (("run", "--timeout", "nan"), "'nan' is no duration; a duration is a number of seconds"),
        (("run", "--timeout", "1e30"), "'1e30' is no duration; a duration is between 0 and 3660d"),
        (("run", "--deadline", "25:00"), "'25:00' is no deadline; there is no such time of day"),
        (("run", "--partition", ""), "'--partition': it is empty; is a variable of the shell not"),
        (("run", "--deadline", "1e999"), "'1e999' is no deadline; a deadline is a duration"),
    ],
)
def test_what_is_refused_is_a_sentence(words: tuple[str, ...], sentence: str, shell: Shell) -> None:
    found = shell(*words)
    assert found.code == 2
    assert sentence in re.sub(r"\s+", " ", found.err)


def test_a_run_without_dbt_is_a_run(shell: Shell) -> None:
    """The harness is worth something: what it lets through runs, and is recorded."""
    found = shell("run", "-p", "daily", "--logical-date", "2026-03-01")
    assert found.code == 0, found
    assert "succeeded" in found.out
    assert shell("runs").out.splitlines()[1].split()[3:5] == ["manual", "success"]
    assert shell("retry").code in (0, 2)
