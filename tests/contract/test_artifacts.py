"""What every place for files of runs does, be it a folder, memory, or a real S3 server."""

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.ports.artifacts import ArtifactMissing, Artifacts, ArtifactsError
from dbtorch.testing import MemoryArtifacts

KINDS = ["double", "folder", "local", "memory", "s3"]


@pytest.fixture(params=KINDS)
def artifacts(request, tmp_path: Path) -> Artifacts:
    if request.param == "double":
        return MemoryArtifacts()
    if request.param == "s3":
        url = request.getfixturevalue("s3_url")
    else:
        folder = tmp_path / "with space" / "runs"
        urls = {
            "folder": str(folder),
            "local": f"local://{folder}",  # fsspec's own files, where folders must be made
            "memory": f"memory://{uuid.uuid4().hex}/runs",
        }
        if request.param != "folder":
            pytest.importorskip("fsspec")
        url = urls[request.param]
    return open_artifacts(url, "acme/shop", tmp_path)


def got(artifacts: Artifacts, run_id: str, name: str, folder: Path) -> bytes:
    path = folder / "got"
    artifacts.get(run_id, name, path)
    return path.read_bytes()


def test_what_is_kept_is_read_listed_and_removed(artifacts, tmp_path):
    assert (artifacts.runs(), artifacts.sizes("r1"), artifacts.written_at("r1")) == ([], {}, None)
    artifacts.remove("r1")
    before = datetime.now(UTC) - timedelta(minutes=1)
    artifacts.put("r1", "nodes/model.a.1.log", [b"first", b" line\n"])
    artifacts.put("r1", "nodes/model.a.1.log", [b"another\n"])
    artifacts.put("r1", "target/run_results.json", [b"{}"])
    artifacts.put("r1", "empty.log", [])
    artifacts.put("r10", "nodes/model.a.1.log", [b"\xff\x00 no text"])

    assert artifacts.sizes("r1") == {
        "nodes/model.a.1.log": 8,
        "target/run_results.json": 2,
        "empty.log": 0,
    }
    assert artifacts.runs() == ["r1", "r10"]
    assert got(artifacts, "r1", "nodes/model.a.1.log", tmp_path) == b"another\n"
    assert got(artifacts, "r1", "empty.log", tmp_path) == b""
    assert got(artifacts, "r10", "nodes/model.a.1.log", tmp_path) == b"\xff\x00 no text"
    written = artifacts.written_at("r1")
    assert before < written < datetime.now(UTC) + timedelta(minutes=1)

    artifacts.remove("r1")
    assert (artifacts.runs(), artifacts.sizes("r1")) == (["r10"], {})
    with pytest.raises(ArtifactMissing):
        artifacts.get("r1", "nodes/model.a.1.log", tmp_path / "gone")


def test_a_large_file_comes_back_whole(artifacts, tmp_path):
    piece = bytes(range(256)) * 4096  # 1 MiB
    artifacts.put("r1", "dbt.log", [piece] * 9)
    assert got(artifacts, "r1", "dbt.log", tmp_path) == piece * 9
    assert artifacts.sizes("r1") == {"dbt.log": 9 << 20}


def test_what_another_has_kept_in_the_meantime_is_listed(artifacts, tmp_path, request):
    kind = request.node.callspec.params["artifacts"]
    if kind in ("double", "memory"):
        pytest.skip("one memory has no other")
    artifacts.put("r1", "a.log", [b"a"])
    assert artifacts.sizes("r1") == {"a.log": 1}
    other = type(artifacts).__new__(type(artifacts))
    other.__dict__.update(artifacts.__dict__, _opened=None)  # as another process opens it
    other.put("r1", "b.log", [b"bb"])
    other.put("r2", "b.log", [b"bb"])
    assert artifacts.sizes("r1") == {"a.log": 1, "b.log": 2}
    assert artifacts.runs() == ["r1", "r2"]


def test_where_nobody_answers_one_sentence_says_so(request, tmp_path, monkeypatch):
    double = MemoryArtifacts()
    double.down = "it is down"
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    folder = open_artifacts(str(blocked), "shop", tmp_path)
    s3 = open_artifacts(request.getfixturevalue("s3_url"), "shop", tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = {
        double: "it is down",
        folder: "Not a directory",
        s3: "Could not connect to the endpoint",
    }
    for place, why in said.items():
        for ask in (
            lambda place=place: place.put("r1", "a.log", [b"a"]),
            lambda place=place: place.get("r1", "a.log", tmp_path / "got"),
            lambda place=place: place.sizes("r1"),
            place.runs,
        ):
            with pytest.raises(ArtifactsError, match=why) as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert not isinstance(caught.value, ArtifactMissing)
        with pytest.raises(ArtifactsError, match=why):
            place.remove("r1")


def test_a_bucket_that_is_not_there_keeps_nothing(s3_url, tmp_path):
    artifacts = open_artifacts("s3://nobody-made-it/runs", "shop", tmp_path)
    with pytest.raises(ArtifactsError, match=r"^s3://nobody-made-it/runs/shop/r1/a\.log"):
        artifacts.put("r1", "a.log", [b"a"])
    assert artifacts.runs() == []
