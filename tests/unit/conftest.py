"""Fixtures that several unit tests share."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtorch.adapters.config import ConfigError, load
from dbtorch.core.config import Config


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
