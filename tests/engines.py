"""Every engine with every dbt that the suites drive, and the fixture that picks one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import pytest

from tests.dbt2 import dbt_2
from tests.environments import DBT_1_10, DBT_1_12, Dbt, dbt_1, or_skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Driven:
    """A dbt, and the engine that drives it."""

    engine: str  # as engine.type has it
    version: str
    make: Callable[[], Dbt]  # raises `Unavailable`

    def __str__(self) -> str:
        return f"{self.engine} {self.version}"

    @property
    def is_process(self) -> bool:
        return self.engine == "process"

    def spec(self, dbt: Dbt) -> str:
        """``engine`` in dbtorch.yml."""
        what = f"executable: {dbt.executable}" if self.is_process else f"python: {dbt.python}"
        return f"{{type: {self.engine}, {what}}}"


def own() -> Dbt:
    """The dbt beside dbtorch."""
    return Dbt(executable=Path(sys.executable).with_name("dbt"), python=Path(sys.executable))


SESSION_1_10 = Driven(engine="session", version="1.10", make=partial(dbt_1, DBT_1_10))
SESSION_1_11 = Driven(engine="session", version="1.11", make=own)
SESSION_1_12 = Driven(engine="session", version="1.12", make=partial(dbt_1, DBT_1_12))
PROCESS_1_11 = Driven(engine="process", version="1.11", make=own)
PROCESS_2 = Driven(engine="process", version="2", make=dbt_2)

#: All of them, as tables list them.
ENGINES = (SESSION_1_10, SESSION_1_11, SESSION_1_12, PROCESS_1_11, PROCESS_2)


def over(*engines: Driven) -> pytest.MarkDecorator:
    """Run a test with each of these; without it, one runs with the dbt beside dbtorch alone."""
    return pytest.mark.parametrize("driven", engines, ids=str, indirect=True)


class Can(StrEnum):
    """What tests show of engines, in the words and the order of the table in ``docs/output.md``."""

    CONTRACT = "opens, executes, cancels and closes as the run's loop expects"
    PARITY = "a run ends like `dbt build`: statuses, artifacts, every row"
    KINDS = "every kind of node runs, and a second time"
    OPTIONS = "dbt's selection and options: `--full-refresh`, `--empty`, `--defer`, windows, vars"
    RETRIES = "retries, failure classes and `on_failure` for each node"
    TIMEOUTS = "timeouts of single nodes"
    FRESHNESS = "sources that are stale block what is built on them"
    SQL = "`sql:` steps, rendered as dbt renders a model"
    CHECKS = "`checks:` look at relations, and block what is built on bad ones"
    HOOKS = "on-run hooks once a run, also where it died in them"
    RETRY = "`dbtorch retry`: what did not succeed, and what depends on it"
    OTHER_CODE = "`dbtorch retry` with other code: what changed runs again"
    RERUN = "`dbtorch rerun` of a part"
    SIGNALS = "Ctrl-C and SIGTERM cancel queries, and leave nothing behind"
    LIVE = "the live view on a terminal"
    CANCEL_RUN = "`dbtorch cancel` of a run"
    CANCEL_NODE = "`dbtorch cancel` of one node"
    DEAD_SUPERVISOR = "a run whose process was killed goes on"
    DEAD_DBT = "a run goes on when its dbt is killed"
    DEAD_QUERY = "on Postgres, queries end with a run's process that is killed"
    FULL_DISK = "a full disk ends a run with a sentence, and it goes on when there is room"
    CHAOS = "kills at random moments lose nothing, and do nothing twice"


def shows(what: Can, *, on: Driven | None = None) -> pytest.MarkDecorator:
    """Say what a test shows of the engine it is run over, or of the one it is about."""
    return pytest.mark.shows(what, on=on)


@pytest.fixture(scope="session")
def driven(request: pytest.FixtureRequest) -> Driven:
    """The engine and the dbt of a test; it is skipped where that dbt cannot be had."""
    found: Driven = getattr(request, "param", SESSION_1_11)
    or_skip(found.make)
    return found
