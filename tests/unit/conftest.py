"""Fixtures that several unit tests share, and what `make check` leaves out."""

import functools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.core.config import Config
from dbtorch.core.errors import ConfigError
from tests.leaks import nothing_left_open
from tests.waiting import PATIENCE

#: With what a module of tests starts processes.
_STARTS = re.compile(
    r"\b(subprocess|StepBench|kept_process|Executable|SessionEngine|ProcessEngine|in_another_process|serving)\b"
)

#: Modules that simulate years, or try thousands of inputs.
_SLOW = {
    *(
        "test_backfill_simulated",
        "test_cron",
        "test_linear",
        "test_partitions",
        "test_schedule_year",
    ),
    *("test_fuzz_command_line", "test_fuzz_store", "test_fuzz_surroundings"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of a module that starts processes, or takes long."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            if _starts(item.path):
                item.add_marker("starts")
            if item.path.stem in _SLOW:
                item.add_marker("slow")


@functools.cache
def _starts(module: Path) -> bool:
    return _STARTS.search(module.read_text(encoding="utf-8")) is not None


@pytest.fixture(autouse=True)
def leaves_nothing_open() -> Iterator[None]:
    """No thread, no process and no file that a test opens is open when it is over."""
    with nothing_left_open():
        yield


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make schedulers; what they have started is ended with the test."""
    from tests.unit.serving import Serving

    made: list[Any] = []

    def make(*args: Any, **given: Any) -> Any:
        made.append(Serving(tmp_path, *args, **given))
        return made[-1]

    yield make
    for one in made:
        for child in one.scheduler.children.values():
            child.kill()
            child.thread.join(PATIENCE)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Config]:
    """Load a dbtorch.yml with this text; keywords are environment variables."""

    def write(text: str, **environ: str) -> Config:
        (tmp_path / "dbtorch.yml").write_text(textwrap.dedent(text), encoding="utf-8")
        return load(tmp_path, environ=environ)

    return write


@pytest.fixture
def refused(written: Callable[..., Config]) -> Callable[[str], list[str]]:
    """The sentences about a dbtorch.yml with this text."""

    def write(text: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            written(text)
        return list(caught.value.problems)

    return write
