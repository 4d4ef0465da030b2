"""What a project is called wherever it runs, and what its targets are."""

import subprocess

import pytest

from dbtorch.adapters.dbt.profile_targets import read_places
from dbtorch.adapters.identity import project_id, same_for_all


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/dwh.git",
        "https://token:x-oauth@GitHub.com/acme/dwh",
        "git@github.com:acme/dwh.git",
        "ssh://git@github.com:22/acme/dwh.git/",
    ],
)
def test_every_clone_has_the_same_address(url):
    assert same_for_all(url) == "github.com/acme/dwh"


@pytest.fixture
def clone(tmp_path):
    """A project in a folder of a repository."""
    for words in (
        ["init", "-q"],
        ["remote", "add", "upstream", "https://github.com/other/dwh"],
        ["remote", "add", "origin", "https://secret@github.com/acme/dwh.git"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "transform").mkdir()
    return tmp_path


def test_a_project_is_known_by_its_place_in_its_repository(clone):
    assert project_id(clone / "transform", "shop", None, {}) == "github.com/acme/dwh/transform#shop"
    assert project_id(clone, "shop", None, {}) == "github.com/acme/dwh#shop"


def test_a_further_working_tree_is_the_same_project(clone, tmp_path_factory):
    tree = tmp_path_factory.mktemp("other") / "tree"
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "a"], cwd=clone, check=True)
    subprocess.run(["git", "worktree", "add", "-q", str(tree)], cwd=clone, check=True)
    (tree / "transform").mkdir()
    assert project_id(tree / "transform", "shop", None, {}).startswith("github.com/acme/dwh/tr")


def test_what_is_said_comes_before_what_is_found(clone):
    assert project_id(clone, "shop", "said", {}) == "said"
    assert project_id(clone, "shop", "said", {"DBTORCH_PROJECT_ID": "env"}) == "env"
    assert project_id(clone, "shop", "said", {"DBTORCH_PROJECT_ID": " "}) == "said"


def test_without_git_it_is_the_folder(tmp_path):
    assert project_id(tmp_path, "shop", None, {}) == f"{tmp_path}#shop"


PROFILES = """
shop:
  target: "{{ env_var('WHERE', 'dev') }}"
  outputs:
    dev:
      type: postgres
      dbname: dwh
      schema: "dbt_{{ env_var('WHO') }}"
      password: "{{ env_var('DBT_ENV_SECRET_P') }}"
    prod: {type: bigquery, project: acme, dataset: marts}
    file: {type: duckdb, path: dev.duckdb, schema: main}
    cloud: {type: duckdb, path: "md:acme"}
    odd: {type: postgres, dbname: "{{ var('x') }}", schema: s}
    none:
"""


def test_a_target_is_what_it_builds_in(tmp_path):
    (tmp_path / "profiles.yml").write_text(PROFILES)
    files = [tmp_path / "nope.yml", tmp_path / "profiles.yml"]
    places, target = read_places(files, "shop", {"WHO": "ana"}, tmp_path)
    assert target == "dev"
    assert places == {
        "dev": "dev (postgres dwh.dbt_ana)",
        "prod": "prod (bigquery acme.marts)",
        "file": f"file (duckdb {tmp_path}/dev.duckdb main)",
        "cloud": "cloud (duckdb md:acme)",
        "odd": "odd (postgres {{ var('x') }}.s)",
    }
    assert read_places(files, "shop", {"WHERE": "prod"}, tmp_path)[1] == "prod"
    assert read_places(files, "shop", {"DBT_TARGET": "file"}, tmp_path)[1] == "file"


@pytest.mark.parametrize("text", ["", "shop: 1", "other: {}", "a: [", "\xff"])
def test_nothing_is_known_of_a_profile_that_cannot_be_read(tmp_path, text):
    (tmp_path / "profiles.yml").write_bytes(text.encode("latin-1"))
    assert read_places([tmp_path / "profiles.yml"], "shop", {}, tmp_path) == ({}, "default")
    assert read_places([], "shop", {}, tmp_path) == ({}, "default")
