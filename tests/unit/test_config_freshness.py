"""``freshness`` in dbtorch.yml, and what a source says of it in ``meta.dbtorch``."""

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_of
from dbtorch.core.model.freshness import FreshnessSpec, GateSettings, SourceGates
from dbtorch.core.model.gate import OnStale, Require


def test_gates_are_for_those_who_ask_for_them(tmp_path):
    assert load(tmp_path).freshness == FreshnessSpec(everywhere=False)


@pytest.mark.parametrize(("text", "on"), [("false", False), ("true", True), ("{}", True)])
def test_gates_can_be_turned_off(written, text, on):
    assert written(f"freshness: {text}").freshness == (FreshnessSpec() if on else None)


def test_everything_there_is_to_say(written):
    found = written("""
freshness:
  default: {on_stale: {warn: skip, error: wait}, require: all, every: 5m, for: 2h, then: fail}
  sources:
    shop.orders: {on_stale: warn}
    "crm.*": {every: 10s}
""").freshness
    assert found == FreshnessSpec(
        default=GateSettings(
            on_warn=OnStale.SKIP,
            on_error=OnStale.WAIT,
            every=300.0,
            patience=7200.0,
            then=OnStale.FAIL,
        ),
        require=Require.ALL,
        sources=(
            SourceGates(
                pattern="shop.orders",
                settings=GateSettings(on_error=OnStale.WARN),
                where="dbtorch.yml:5",
            ),
            SourceGates(pattern="crm.*", settings=GateSettings(every=10.0), where="dbtorch.yml:6"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{defaults: {}}", 'unknown key "defaults" in freshness; did you mean "default"?'),
        ("{default: {on_stale: skp}}", 'on_stale is "skp"; did you mean "skip"?'),
        ("{default: {on_stale: {eror: skip}}}", 'did you mean "error"?'),
        ("{default: {then: wait}}", "expected one of skip, fail, warn"),
        ("{default: {every: 0s}}", "expected more than 0 seconds"),
        ("{sources: {orders: {on_stale: skip}}}", 'write "shop.orders", or "shop.*" for several'),
        # it is what reads sources that requires something of them
        ("{sources: {shop.orders: {require: all}}}", 'unknown key "require"'),
        ("off the record", "expected a mapping with the keys default, sources"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_line(refused, text, said):
    (sentence,) = refused(f"version: 1\nfreshness: {text}")
    assert sentence.startswith("dbtorch.yml:2: ")
    assert said in sentence


def test_a_source_says_so_in_meta(tmp_path):
    meta = {"dbtorch": {"on_stale": "fail", "every": "5m", "owner": "data-eng"}}
    said = settings_of(meta, node="source.shop.shop.orders", file="", project_dir=tmp_path)
    assert said.gate == GateSettings(on_error=OnStale.FAIL, every=300.0)
    assert said.owner == "data-eng"


def test_a_model_says_how_many_of_its_sources_must_be_fresh(tmp_path):
    said = settings_of({"dbtorch": {"require": "all"}}, node="m", file="", project_dir=tmp_path)
    assert (said.require, said.gate) == (Require.ALL, None)
