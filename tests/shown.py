"""Records what tests show of engines: with ``--shown FILE``, one JSON object a line is added to it.

``.ci/engines_docs.py`` makes the table in ``docs/output.md`` of it. Tests say it with `shows`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engines import SESSION_1_11, Driven


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shown", type=Path, metavar="FILE", help="add what tests show of engines")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("shown")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Record(path))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties += [("shows", said) for said in claims(item)]


def claims(item: pytest.Item) -> list[dict[str, str]]:
    """What a test shows, and of which engine."""
    params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    over: Driven = params.get("driven", SESSION_1_11)
    marks = [(mark.args[0], mark.kwargs["on"] or over) for mark in item.iter_markers("shows")]
    return [{"what": what.name, "engine": str(engine)} for what, engine in marks]


class Record:
    """Writes it down: each test once it has run, or all of them where they are only collected."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            for item in session.items:
                self._add(item.user_properties, "collected")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or (report.when == "setup" and not report.passed):
            self._add(report.user_properties, report.outcome)

    def _add(self, properties: list[tuple[str, object]], outcome: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            for name, said in properties:
                if name == "shows" and isinstance(said, dict):
                    file.write(json.dumps({**said, "outcome": outcome}) + "\n")
