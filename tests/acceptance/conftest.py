"""Fixtures of the acceptance suite."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.warehouses import warehouse
from tests.acceptance.workspace import DBT, Workspace
from tests.engines import SESSION_1_11, Driven

__all__ = ["parsed", "warehouse", "workspace"]

PARTIAL_PARSE = Path("target", "partial_parse.msgpack")


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What dbt keeps of a parse of its own macros: a second or two of every first run."""
    workspace = Workspace(tmp_path_factory.mktemp("parsed") / "shop")
    environ = workspace.environ()
    subprocess.run([*DBT, "parse"], cwd=workspace.dir, env=environ, check=True, capture_output=True)
    return workspace.dir / PARTIAL_PARSE


@pytest.fixture
def workspace(tmp_path: Path, driven: Driven, request: pytest.FixtureRequest) -> Workspace:
    """An empty dbt project of one's own, where dbt has been before."""
    workspace = Workspace(tmp_path / "shop", driven=driven)
    if driven.version != SESSION_1_11.version:
        return workspace
    parsed = request.getfixturevalue("parsed")
    (workspace.dir / PARTIAL_PARSE).parent.mkdir()
    shutil.copy(parsed, workspace.dir / PARTIAL_PARSE)
    return workspace
