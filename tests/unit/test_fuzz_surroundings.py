"""Whatever profiles.yml, dbtorch.yml and the environment say, a command plans or says what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.evil import TEXTS
from tests.unit.spoken import Shell, a_history, a_project, without_dbt

COMMANDS = (
    ("plan",),
    ("run",),
    ("status",),
    ("runs",),
    ("validate",),
    ("graph", "--format", "dot"),
)

PROFILES = """\
shop:
  target: {target}
  outputs:
    dev: {{type: duckdb, path: {path}, schema: {schema}, threads: {threads}}}
    {name}: {more}
"""

VARIABLES = ("DBTORCH_LEASE_LIFETIME", "DBTORCH_DATABASE_URL", "DBT_PROFILE", "DBT_TARGET")


def quoted(text: str) -> str:
    """A text as YAML may have it in quotes, or as somebody would have forgotten them."""
    return text if len(text) % 2 else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def profiles(chance: random.Random) -> str:
    """A profiles.yml with something wrong in places, or nothing but that."""
    if chance.random() < 0.3:
        return chance.choice(TEXTS)
    values = {"target": "dev", "path": "x.duckdb", "schema": "main", "threads": "4"}
    for place in chance.sample([*values], 2):
        values[place] = quoted(chance.choice(TEXTS))
    return PROFILES.format(**values, name=quoted(chance.choice(TEXTS)), more=chance.choice(TEXTS))


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    folder = a_project(tmp_path / "shop")
    a_history(folder)
    without_dbt(monkeypatch, folder)
    monkeypatch.chdir(folder)
    return Shell(folder, capsys)


def test_any_profiles(shell: Shell) -> None:
    chance = random.Random(14)
    for _ in range(40):
        text = profiles(chance)
        (shell.folder / "profiles.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
        told(shell, chance.choice(COMMANDS), text)


def test_any_environment(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(41)
    for _ in range(80):
        name = chance.choice(VARIABLES)
        text = chance.choice(TEXTS).replace("\0", "").replace("\ud800", "")[:50_000]
        with monkeypatch.context() as patched:
            patched.setenv(name, text)
            told(shell, chance.choice(COMMANDS), f"{name}={text}")


def test_any_configuration(shell: Shell) -> None:
    chance = random.Random(4114)
    keys = ("database_url", "grace", "max_steps", "pools", "defaults", "pipelines", "engine")
    for _ in range(80):
        text = "".join(f"{key}: {quoted(chance.choice(TEXTS))}\n" for key in chance.sample(keys, 2))
        (shell.folder / "dbtorch.yml").write_bytes(text.encode("utf-8", "surrogatepass"))
        told(shell, chance.choice(COMMANDS), text)


def told(shell: Shell, words: tuple[str, ...], around: str) -> None:
    try:
        shell(*words)
    except BaseException as error:
        error.add_note(f"dbtorch {' '.join(words)} with {around[:400]!r}")
        raise
