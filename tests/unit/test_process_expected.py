"""A manifest that dbt writes anew is compared with what it wrote before, and not with when."""

import json
from pathlib import Path
from typing import Any

import pytest

from dbtorch.adapters.dbt.process.project.manifest_check import Expected, manifest_digest
from dbtorch.core.errors import EngineError

MODEL = {
    "raw_code": "select 1",
    "tags": ["daily"],
    "config": {"enabled": True},
    "depends_on": {"macros": ["macro.shop.m"], "nodes": []},
}


def write(path: Path, model: dict[str, Any], **parts: Any) -> Path:
    manifest = {
        "metadata": {"generated_at": path.name},
        "nodes": {"model.shop.a": model},
        "macros": {"macro.shop.m": {"macro_sql": "1"}},
        **parts,
    }
    path.write_text(json.dumps(manifest))
    return path


def test_the_same_project_has_the_same_digest_whether_it_was_executed_or_not(tmp_path):
    listed = write(tmp_path / "listed.json", MODEL)
    executed = {**MODEL, "compiled": True, "compiled_code": "select 1", "created_at": 2.0}
    called = {"macros": ["macro.shop.m", "macro.dbt.statement"], "nodes": []}  # as it was executed
    built = write(
        tmp_path / "built.json",
        {**executed, "depends_on": called},
    )
    assert manifest_digest(listed) == manifest_digest(built)


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ({**MODEL, "raw_code": "select 2"}, {}),
        ({**MODEL, "tags": []}, {}),
        ({key: MODEL[key] for key in MODEL if key != "config"}, {}),
        ({**MODEL, "depends_on": {"macros": [], "nodes": ["model.shop.b"]}}, {}),
        ({**MODEL, "depends_on": None}, {}),
        (MODEL, {"macros": {"macro.shop.m": {"macro_sql": "2"}}}),
        (MODEL, {"child_map": {"model.shop.a": []}}),
        (MODEL, {"sources": {"source.shop.raw.a": {}}}),
        (MODEL, {"nodes": {"model.shop.b": MODEL}}),
    ],
)
def test_another_project_has_another_one(tmp_path, model, parts):
    one, other = write(tmp_path / "1.json", MODEL), write(tmp_path / "2.json", model, **parts)
    assert manifest_digest(one) != manifest_digest(other)


def test_only_what_is_written_from_now_on_counts(tmp_path):
    path = write(tmp_path / "manifest.json", MODEL)
    expected = Expected(manifest_digest(path), path)
    assert expected.is_met(path) is None
    assert expected.is_met(tmp_path / "none.json") is None
    assert expected.is_met(write(tmp_path / "elsewhere.json", MODEL)) is True
    path.unlink()
    assert expected.is_met(path) is None
    assert expected.is_met(write(path, MODEL)) is True
    assert expected.is_met(write(path, {})) is False


@pytest.mark.parametrize("content", ["", "{", "[]", '{"nodes": {"a": }}'])
def test_what_is_no_manifest_is_another_one(tmp_path, content):
    path = tmp_path / "manifest.json"
    expected = Expected("digest", path)
    path.write_text(content)
    assert expected.is_met(path) is False
    with pytest.raises(EngineError, match=r"manifest .*manifest\.json cannot be read"):
        manifest_digest(path)
