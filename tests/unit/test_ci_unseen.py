"""What changed and dbt's `state:modified` does not see: git is asked, over a real repository."""

import json
import subprocess
from datetime import UTC, datetime

import pytest

from dbtorch.core.ci.changes import Reason, Why
from dbtorch.core.ci.code import Code, Macro, Resource
from dbtorch.core.config import Config
from dbtorch.core.model.graph import Kind
from dbtorch.service.ci.unseen import Unseen, find_unseen
from dbtorch.service.production.find import FoundState
from dbtorch.service.project.project import Project

PROJECT = "name: shop\nvars:\n  cutoff: 5\n  same: 1\n  shop: {inner: 1}\n"
LARGE = "id,text\n1," + "x" * 1024 * 1024 + "\n"


@pytest.fixture
def project(tmp_path):
    """A checkout with a change since the branch began, and nothing more."""
    folder = tmp_path / "dbt"
    folder.mkdir()
    for name, text in (("dbt_project.yml", PROJECT), ("a large.csv", LARGE), ("other.csv", LARGE)):
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begun")
    return Project(dir=folder, name="shop", config=Config())


def git(folder, *args):
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", *who, *args], cwd=folder, check=True)


def a_state(folder) -> FoundState:
    said = {"raw_code": "select {{ var('cutoff') }}", "resource_type": "model", "name": "stg"}
    nodes = {"model.shop.stg": {**said, "unique_id": "model.shop.stg"}}
    (folder / "manifest.json").write_text(json.dumps({"nodes": nodes}))
    return FoundState(
        folder=folder, url="", at=datetime.now(UTC), dbt_version="1.11.0", published=None
    )


def test_variables_and_large_seeds_that_changed_are_found(project, tmp_path):
    state = a_state(tmp_path)
    assert find_unseen(project, state, "main") == Unseen()
    changed = PROJECT.replace("cutoff: 5", "cutoff: 6").replace("inner: 1", "inner: 2")
    (project.dir / "dbt_project.yml").write_text(changed)
    (project.dir / "a large.csv").write_text(LARGE.replace("1,x", "2,x"))
    found = find_unseen(project, state, "main")
    assert found == Unseen(
        vars=frozenset({"cutoff", "shop", "inner"}), seeds=frozenset({"a large.csv"})
    )
    assert [*found.selected(state)] == ["file:a large.csv+", "stg+"]


def test_where_git_does_not_know_large_seeds_are_built_and_the_rest_is_said(project, tmp_path):
    found = find_unseen(project, a_state(tmp_path), "no-such-branch")
    assert found.seeds == {"a large.csv", "other.csv"}
    assert found.note == (
        "git does not know which commit production was built from, so large seeds are built and a"
        " change of variables in dbt_project.yml is not seen"
    )


def test_a_variable_is_read_in_code_in_configuration_and_in_macros():
    def one(name, **more):
        return Resource(**{"id": name, "kind": Kind.MODEL, "name": name, **more})

    now = Code(
        resources={
            found.id: found
            for found in (
                one("code", code="select {{ var( 'cutoff' , 1) }}"),
                one("config", config={"enabled": '{{ var("cutoff") }}'}),
                one("macro", macros=("outer",)),
                one("other", code="select {{ var('cutoff_2') }}, 'cutoff'"),
                one("seed", path="seeds/big.csv", kind=Kind.SEED),
            )
        },
        macros={
            "outer": Macro(code="", macros=("inner",)),
            "inner": Macro(code="{{ var('cutoff') }}"),
        },
    )
    unseen = Unseen(vars=frozenset({"cutoff"}), seeds=frozenset({"seeds/big.csv"}))
    var = (Reason(kind=Why.VAR, names=("cutoff",)),)
    assert unseen.reasons(now) == {
        "code": var,
        "config": var,
        "macro": var,
        "seed": (Reason(kind=Why.BODY),),
    }
