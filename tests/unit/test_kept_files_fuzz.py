"""What dbtorch reads back from disk: a manifest, a kept answer. Whole, or not at all."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbtorch.adapters.dbt.manifest import read_manifest
from dbtorch.core.errors import EngineError
from dbtorch.core.model.graph import Kind
from dbtorch.service.planning.manifest_cache import ManifestCache
from tests.unit.test_head_start import selected

MANIFEST: dict[str, Any] = {
    "nodes": {
        "model.shop.a": {
            "unique_id": "model.shop.a",
            "name": "a",
            "resource_type": "model",
            "config": {"materialized": "table", "meta": {"dbtorch": {"owner": "Ann"}}},
            "depends_on": {"nodes": ["source.shop.raw.a", "metric.shop.m"]},
            "owner": {"name": None, "email": ["a@example.com"]},
        }
    },
    "sources": {
        "source.shop.raw.a": {
            "unique_id": "source.shop.raw.a",
            "name": "a",
            "resource_type": "source",
            "source_name": "raw",
        }
    },
    "groups": {"g": {"name": "g", "owner": {"email": "g@example.com"}}},
    "metrics": {"metric.shop.m": {"depends_on": {"nodes": []}}},
}
_JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else items:
        yield from places(inner, (*at, key))


def with_other(value: Any, at: tuple[Any, ...], other: Any) -> Any:
    if not at:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = with_other(value[at[0]], at[1:], other)
    return copy


def survives(content: bytes) -> None:
    """It is a manifest, or an error in one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.json"
        path.write_bytes(content)
        try:
            read = read_manifest(path)
        except EngineError as error:
            assert str(path) in str(error)  # noqa: PT017  # some of them are fine
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert all(isinstance(node.kind, Kind) for node in read.nodes)


@given(st.sampled_from(list(places(MANIFEST))), _JSON)
@settings(deadline=None, max_examples=300)
def test_a_manifest_with_anything_at_any_place(at: tuple[Any, ...], other: Any) -> None:
    survives(json.dumps(with_other(MANIFEST, at, other)).encode())


@given(st.integers(min_value=0, max_value=len(json.dumps(MANIFEST)) - 1), st.binary(max_size=2))
@settings(deadline=None)
def test_a_manifest_that_breaks_off(length: int, more: bytes) -> None:
    survives(json.dumps(MANIFEST).encode()[:length] + more)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 200_000,  # deeper than any stack
        b'{"nodes": ' + b'{"a":' * 200_000,
        b'{"nodes": {"a": {"meta": {"a":' + b"[" * 200_000,
        # metrics that depend on each other
        json.dumps(
            MANIFEST | {"metrics": {"metric.shop.m": {"depends_on": {"nodes": ["metric.shop.m"]}}}}
        ).encode(),
    ],
)
def test_an_evil_manifest(content: bytes) -> None:
    survives(content)


def test_no_manifest_at_all(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"none\.json cannot be read \(No such file"):
        read_manifest(tmp_path / "none.json")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The file of a kept answer."""
    (tmp_path / "models").mkdir()
    (tmp_path / "dbt_project.yml").write_text("name: shop")
    ManifestCache(tmp_path, [], {}).keep(selected(tmp_path))
    (path,) = (tmp_path / ".dbtorch" / "cache").iterdir()
    assert ManifestCache(tmp_path, [], {}).recall() == selected(tmp_path)
    return path


def test_a_kept_answer_is_whole_or_none(kept: Path, tmp_path: Path) -> None:
    content = kept.read_bytes()
    chance = random.Random(1)
    damaged = [content[:length] for length in range(0, len(content), 7)]
    for _ in range(500):
        place = chance.randrange(len(content))
        other = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
        damaged += [other] if other != content else []
    for found in damaged:
        kept.write_bytes(found)
        assert ManifestCache(tmp_path, [], {}).recall() is None, found


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"null", b"[" * 200_000, b'{"fingerprint": 1}', b'{"selected":' * 9999],
)
def test_an_evil_kept_answer(kept: Path, tmp_path: Path, content: bytes) -> None:
    kept.write_bytes(content)
    assert ManifestCache(tmp_path, [], {}).recall() is None
    ManifestCache(tmp_path, [], {}).forget()
    assert not kept.exists()


def test_a_kept_answer_that_is_a_folder(kept: Path, tmp_path: Path) -> None:
    kept.unlink()
    kept.mkdir()
    assert ManifestCache(tmp_path, [], {}).recall() is None
    ManifestCache(tmp_path, [], {}).keep(selected(tmp_path))
    ManifestCache(tmp_path, [], {}).forget()
