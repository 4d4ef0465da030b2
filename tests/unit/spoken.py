"""Commands as a shell would give them, in this process: what they answer, print, and never do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from dbtorch.adapters.store import open_store
from dbtorch.cli.main import main
from dbtorch.core.model.graph import Kind
from dbtorch.ports.engine import Selected
from dbtorch.service.project.options import RunOptions
from dbtorch.service.wiring.engines import Engines
from dbtorch.testing import MemoryEngine
from tests.unit.story import EDGES, NOON, SHOP, broken_shop

#: Exit codes that are documented, and not those of an internal error or a signal.
DOCUMENTED = (0, 1, 2, 3)

#: What no terminal may get: it would obey, or show a text as another one.
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

RUN = "20260301T120000Z-aaaaaa"


@dataclass(frozen=True)
class Answer:
    """What came of a command."""

    code: int
    out: str
    err: str


class Shell:
    """A folder to give commands in; each answer is held against what all commands promise."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *words: str) -> Answer:
        self._capsys.readouterr()
        code = main(list(words))
        found = Answer(code, *self._capsys.readouterr())
        self._promised(words, found)
        return found

    def _promised(self, words: tuple[str, ...], found: Answer) -> None:
        said = f"dbtorch {words!r} -> {found.code}\n{found.out[-2000:]}\n{found.err[-2000:]}"
        assert found.code in DOCUMENTED, said
        assert "Traceback" not in found.out + found.err, said
        assert not FORBIDDEN.search(found.out + found.err), said
        if found.code == 2:
            assert found.err.strip() or found.out.strip(), said
        if found.code == 0 and found.out and ("--format", "json") in pairwise(words):
            json.loads(found.out, parse_constant=_no_json)


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def a_project(folder: Path, *, text: str = "") -> Path:
    """A dbt project without models; ``text`` is its dbtorch.yml."""
    folder.mkdir(exist_ok=True)
    (folder / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
    if text:
        (folder / "dbtorch.yml").write_text(text)
    return folder


def a_history(folder: Path, **more: object) -> Path:
    """The SQLite file of a project in which a run has failed."""
    store = open_store(None, folder)
    options = RunOptions(cwd=folder).to_record()
    broken_shop(store=store, run_id=RUN, started_at=NOON, options=options, **more)
    store.close()
    return folder / ".dbtorch" / "dbtorch.db"


def without_dbt(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let every command that would start dbt have an engine that needs none."""
    nodes = tuple(node for node in SHOP if node.kind is not Kind.STEP)
    ids = {node.id for node in nodes}
    edges = tuple((a, b) for a, b in EDGES if {a, b} <= ids)
    selected = Selected(
        nodes=nodes,
        edges=edges,
        selected=frozenset(ids),
        selected_edges=edges,
        selected_sources=frozenset(),
        resolved={},
        hooks=(),
        threads=4,
        fail_fast=False,
        target={"name": "dev", "type": "duckdb", "database": "d", "schema": "s", "path": None},
        exclusive_file=None,
        vars={},
        dbt_version="1.11.0",
        adapter="duckdb 1.11.0",
        project="shop",
        project_dir=folder,
        target_path=folder / "target",
        manifest_hash="abc",
    )
    monkeypatch.setattr(
        Engines, "chosen", lambda self, emit, choice=None: MemoryEngine(emit, selected)
    )
