"""Where the files of a run are."""

import re

import pytest

from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import make_state_dir, state_dir
from dbtorch.core.model.events import Attempt


@pytest.mark.parametrize(
    ("node_id", "name"),
    [
        ("model.shop.stg_orders", "model.shop.stg_orders"),
        # a path, a long name, one that two nodes share once made safe: told apart by a digest
        ("step.../../etc", r"step\..*-[0-9a-f]{8}"),
        ("test." + "x" * 300, r"test\.x+-[0-9a-f]{8}"),
        ("model.shop.a b", r"model\.shop\.a_b-[0-9a-f]{8}"),
        ("..", r"\.\.-[0-9a-f]{8}"),
    ],
)
def test_every_attempt_has_a_file_of_its_own(tmp_path, node_id, name):

    files = RunFiles(tmp_path / ".dbtorch", "r1")
    path = files.path(node_id, 2)
    assert path.parent == files.root / "nodes"
    assert re.fullmatch(rf"{name}\.2\.log", path.name)
    assert len(path.name) <= 160
    assert path != files.path(node_id, 1)
    assert not path.parent.exists()
    assert files.log(Attempt(node_id, 2)) == path
    assert path.parent.is_dir()


def test_the_folder_may_be_another_one(tmp_path):
    project = tmp_path / "shop"
    assert state_dir(project, {}) == project / ".dbtorch"
    assert state_dir(project, {"DBTORCH_STATE_DIR": ""}) == project / ".dbtorch"
    assert state_dir(project, {"DBTORCH_STATE_DIR": "../kept"}) == project / "../kept"
    made = make_state_dir(project, {"DBTORCH_STATE_DIR": str(tmp_path / "var")})
    assert made == tmp_path / "var"
    assert (made / ".gitignore").exists()
