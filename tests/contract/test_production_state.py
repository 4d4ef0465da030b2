"""The state of production is published and found wherever files of runs are kept."""

import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dbtorch.adapters.run_files import file_safe
from dbtorch.service.production.find import NoState, find_state, open_state
from tests.unit.test_production_state import NOON, RUN, project, published, target

__all__ = ["project", "target"]


@pytest.fixture(params=["folder", "local", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        found: str = request.getfixturevalue("s3_url")
        return found
    if request.param != "folder":
        pytest.importorskip("fsspec")
    folder = tmp_path / "with space" / "kept"
    return {
        "folder": str(folder),
        "local": f"local://{folder}",
        "memory": f"memory://{uuid.uuid4().hex}/kept",
    }[request.param]


def test_it_is_found_at_every_kind_of_url(project, target, url, tmp_path):
    of_pipeline = f"{url}/_state/{file_safe('acme/shop')}/daily"
    with pytest.raises(NoState, match="there is no state of production"):
        find_state(open_state(of_pipeline, tmp_path), tmp_path / "none")
    first = published(project, target, url=url)
    later = replace(RUN, run_id="r2", git_commit="b" * 40)
    newest = published(project, target, at=NOON + timedelta(hours=1), run=later, url=url)
    place = open_state(of_pipeline, tmp_path)
    assert find_state(place, tmp_path / "newest").url == newest
    assert find_state(place, tmp_path / "base", base=["a" * 40]).url == first
    bare = find_state(open_state(first, tmp_path), tmp_path / "bare")  # a folder of dbt's files
    assert (bare.published, bare.dbt_version) == (None, "1.10.0")
    assert (tmp_path / "bare" / "manifest.json").is_file()
