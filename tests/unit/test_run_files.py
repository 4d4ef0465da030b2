"""Where the files of a run are."""

import re

import pytest

from dbtorch.adapters.run_files import RunFiles


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
def test_every_id_makes_a_folder_of_its_own(tmp_path, node_id, name):

    files = RunFiles(tmp_path, "r1")
    path = files.path(node_id, 2)
    assert path.parent.parent == files.root / "nodes"
    assert re.fullmatch(name, path.parent.name)
    assert len(path.parent.name) <= 150
    assert not path.parent.exists()
    assert files.log(node_id, 2).parent.is_dir()
