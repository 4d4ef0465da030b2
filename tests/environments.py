"""Environments with another dbt than the one beside dbtorch: made once, kept, shared by all tests.

They live in the user's cache folder, or where ``DBTORCH_TEST_ENVIRONMENTS`` says. What a machine
cannot have (no index, no wheel) raises `Unavailable` with the reason, with which tests skip.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "DBTORCH_TEST_ENVIRONMENTS"

#: Prints what distributions need, but for those after the comma; markers are pip's to judge.
NEEDS = """\
import importlib.metadata, re, sys
split = sys.argv.index(",")
for name in sys.argv[1:split]:
    for need in importlib.metadata.requires(name) or []:
        if re.match(r"[\\w.-]+", need)[0] not in sys.argv[split:] and "extra ==" not in need:
            print(need)
"""


class Unavailable(Exception):
    """This machine cannot have that environment; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dbt:
    """A dbt to drive, and what its processes need in their environment."""

    executable: Path
    python: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an environment is made of; one that was made of something else is made anew."""

    name: str
    requirements: tuple[str, ...]
    without: tuple[str, ...] = ()  # what of it is left away, as it cannot be installed

    def __str__(self) -> str:
        return " ".join(self.requirements)


#: The oldest dbt that is supported.
DBT_1_10 = Recipe(name="dbt-1.10", requirements=("dbt-core==1.10.*", "dbt-duckdb==1.10.*"))

#: The newest dbt-core with a session, without the parser that downloads a binary to be installed.
DBT_1_12 = Recipe(
    name="dbt-1.12",
    requirements=("dbt-core==1.12.*", "dbt-duckdb==1.11.*"),
    without=("dbt-core-experimental-parser",),
)

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

#: Another orchestrator, and what dbtorch itself needs; dbt is in another environment, as it often is.
#: Installing one takes longer than a test may.
AIRFLOW, DAGSTER, PREFECT = (
    Recipe(
        name=name,
        requirements=(*_PROJECT["optional-dependencies"][name], *_PROJECT["dependencies"]),
    )
    for name in ("airflow", "dagster", "prefect")
)


@functools.cache
def dbt_1(recipe: Recipe) -> Dbt:
    """An environment with a dbt in Python.

    Raises `Unavailable` if pip cannot install it.
    """
    folder = kept(recipe, lambda folder: None)
    return Dbt(executable=folder / "bin" / "dbt", python=folder / "bin" / "python")


def kept(recipe: Recipe, finish: Callable[[Path], None]) -> Path:
    """The folder of a virtual environment made by a recipe; `finish` adds what is not pip's.

    Raises `Unavailable`, and leaves nothing behind then.
    """
    folder = cache() / f"{recipe.name}-python{sys.version_info.major}.{sys.version_info.minor}"
    stamp = folder / "made-of"
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not stamp.exists() or stamp.read_text() != repr(recipe):
            shutil.rmtree(folder, ignore_errors=True)
            try:
                install(folder, recipe)
                finish(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            stamp.write_text(repr(recipe))
    return folder


def kept_in(environment: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder in an environment that is kept with it; `make` fills it, once."""
    folder, begun = environment / name, environment / f"{name}.begun"
    with locked(environment.with_name(f"{environment.name}.lock")):
        if not folder.exists():
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            make(begun)
            begun.rename(folder)
    return folder


def install(folder: Path, recipe: Recipe) -> None:
    """Make a virtual environment with the requirements of a recipe in it."""
    run([sys.executable, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if recipe.without:
        run([*pip, "--no-deps", *recipe.requirements])
        names = [requirement.partition("=")[0] for requirement in recipe.requirements]
        needs = run([python, "-c", NEEDS, *names, ",", *names, *recipe.without])
        run([*pip, *needs.splitlines()])
    else:
        run([*pip, *recipe.requirements])


def run(command: list[str], **more: Any) -> str:
    """What a command prints; raises `Unavailable` if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    except OSError as error:
        raise Unavailable(f"cannot start {command[0]}: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Unavailable(f"{' '.join(command)}: {said[-1]}")
    return done.stdout


@functools.cache
def cache() -> Path:
    """The folder that environments are kept in."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(VARIABLE) or home / "dbtorch" / "test-environments").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process at a time is in here; what others make is waited for."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def or_skip(make: Callable[[], Dbt]) -> Dbt:
    """The dbt of an environment, or the reason why there is none as the reason to skip."""
    try:
        return make()
    except Unavailable as reason:
        pytest.skip(str(reason))
