"""Folders that a project's interpreter gets on its path hide nothing of the standard library."""

import sys
from pathlib import Path

import pytest

import dbtorch.adapters.dbt
import dbtorch.adapters.steps


@pytest.mark.parametrize("package", [dbtorch.adapters.dbt, dbtorch.adapters.steps])
def test_no_module_beside_a_script_is_called_like_one_of_pythons(package):
    names = {path.stem for path in Path(package.__path__[0]).iterdir()}
    assert not names & sys.stdlib_module_names
