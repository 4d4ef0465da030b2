"""Fixtures of the acceptance suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty dbt project of one's own."""
    return Workspace(tmp_path / "shop")
