"""Which generation a dbt is, by the version that its manifest has."""

from pathlib import Path

import pytest

from dbtorch.adapters.dbt.process.generation import DBT_1, DBT_2, generation_of


@pytest.mark.parametrize(
    ("version", "generation"),
    [
        ("1.10.0", DBT_1),
        ("1.12.6", DBT_1),
        ("2.0.0-preview.196", DBT_2),
        ("10.0.0", DBT_2),
        ("", DBT_2),
    ],
)
def test_a_version_says_which_generation_it_is(version, generation):
    assert generation_of(version) is generation


def test_paths_in_a_profile_count_from_where_dbt_stands():
    project, cwd = Path("/shop"), Path("/home")
    assert DBT_1.base_folder(project, cwd) == project
    assert DBT_2.base_folder(project, cwd) == cwd
