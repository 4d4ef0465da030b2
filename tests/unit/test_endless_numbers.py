"""Numbers that JSON cannot express, from whoever says them: never kept, never printed."""

import json
import math
from pathlib import Path

import pytest

from dbtorch.adapters.config.meta import settings_for
from dbtorch.adapters.dbt.manifest import read_manifest
from dbtorch.adapters.dbt.session.messages import read
from dbtorch.adapters.store.rows import dumped
from dbtorch.cli.text.terminal import to_json
from dbtorch.core.config import Config
from dbtorch.core.errors import ConfigError, EngineError
from tests.unit.test_kept_files_fuzz import MANIFEST, with_other


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("write", [dumped, to_json, lambda value: to_json(value, indent=2)])
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": [1.5, math.nan, -math.inf]}, {"a": [1.5, None, None]}),
        ((math.inf, Path("x")), [None, "x"]),
        ({1: math.nan, None: "\x7f\x1b"}, {"1": None, "None": "\x7f\x1b"}),
    ],
)
def test_what_is_kept_and_printed_is_json(value, written, write):
    assert json.loads(write(value), parse_constant=pytest.fail) == written


@pytest.mark.parametrize("write", [dumped, to_json])
def test_what_is_nested_for_ever_comes_to_an_end(write):
    assert write(nested(100_000)) == "[" * 100 + "null" + "]" * 100


def test_a_workers_message_has_numbers_that_can_be_written_again():
    line = b'{"type": "finished", "node": "m", "attempt": 1, "execution_time": 1e999,'
    found = read(line + b' "adapter_response": {"x": [NaN, -Infinity, 1e-400, 2.5]}}\n')
    assert found["execution_time"] is None
    assert found["adapter_response"] == {"x": [None, None, 0.0, 2.5]}


def test_a_number_that_is_none_in_meta_is_told_of_its_node(tmp_path):
    """dbt writes YAML's .nan and .inf into its manifest as they are."""
    at = ("nodes", "model.shop.a", "config", "meta", "dbtorch")
    other = with_other(MANIFEST, at, {"timeout": math.nan, "retries": math.inf})
    (tmp_path / "manifest.json").write_text(json.dumps(other))
    found = read_manifest(tmp_path / "manifest.json")
    with pytest.raises(ConfigError) as raised:
        settings_for(found.nodes, Config(), tmp_path)
    timeout, retries = raised.value.problems
    assert "meta.dbtorch.timeout of model.shop.a has no value; expected duration" in timeout
    assert "meta.dbtorch.retries of model.shop.a has no value; expected" in retries


def test_a_number_that_is_none_elsewhere_in_meta_is_nobodys_business(tmp_path):
    at = ("nodes", "model.shop.a", "config", "meta")
    (tmp_path / "manifest.json").write_text(json.dumps(with_other(MANIFEST, at, {"x": math.nan})))
    assert len(read_manifest(tmp_path / "manifest.json").nodes) == 2


def test_a_manifest_with_such_a_number_that_breaks_off_is_a_sentence(tmp_path):
    (tmp_path / "manifest.json").write_text('{"nodes": {"a": NaN')
    with pytest.raises(EngineError, match="cannot be read"):
        read_manifest(tmp_path / "manifest.json")
