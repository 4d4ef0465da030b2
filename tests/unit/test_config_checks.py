"""``checks`` in dbtorch.yml, and in ``meta.dbtorch``."""

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_for, settings_of
from dbtorch.core.checks.relation_checks import (
    CheckSeverity,
    Newest,
    NullRate,
    PatternChecks,
    RowCount,
    RowCountChange,
    SameSchema,
)
from dbtorch.core.config import Config
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.graph import Kind, Node

WARN, ERROR = CheckSeverity.WARN, CheckSeverity.ERROR
KINDS = ("row_count", "row_count_change", "null_rate", "freshness", "schema")


def test_nothing_is_checked_that_nobody_asks_for(tmp_path):
    assert load(tmp_path).checks == ()


def test_everything_there_is_to_say(written):
    found = written("""
checks:
  sources:
    "shop.*": {schema: error}
  models:
    fct_orders:
      row_count: {min: 1, max: 1000, severity: warn}
      row_count_change: {percent: "20%", last: 14}
      null_rate:
        - email
        - {column: "lower(name)", max: 5%, severity: warn}
      freshness: {column: updated_at, max_age: 24h}
      schema: true
""").checks
    assert found == (
        PatternChecks(
            pattern="shop.*",
            sources=True,
            checks={"schema": (SameSchema(severity=ERROR),)},
            where="dbtorch.yml:4",
        ),
        PatternChecks(
            pattern="fct_orders",
            sources=False,
            checks={
                "row_count": (RowCount(min=1, max=1000, severity=WARN),),
                "row_count_change": (RowCountChange(percent=20.0, last=14),),
                "null_rate": (
                    NullRate(column="email"),
                    NullRate(column="lower(name)", max=0.05, severity=WARN),
                ),
                "freshness": (Newest(column="updated_at", max_age=86_400.0),),
                "schema": (SameSchema(severity=WARN),),
            },
            where="dbtorch.yml:6",
        ),
    )


@pytest.mark.parametrize(
    ("text", "checks"),
    [
        # the short forms
        ("{row_count: 1}", {"row_count": (RowCount(min=1),)}),
        ("{row_count_change: 50}", {"row_count_change": (RowCountChange(percent=50.0),)}),
        ("{row_count_change: 12.5%}", {"row_count_change": (RowCountChange(percent=12.5),)}),
        ("{null_rate: id}", {"null_rate": (NullRate(column="id"),)}),
        ("{null_rate: {column: id, max: 0.1}}", {"null_rate": (NullRate(column="id", max=0.1),)}),
        ("{schema: error}", {"schema": (SameSchema(severity=ERROR),)}),
        # turned off, one kind and all
        ("{row_count: false, null_rate: false}", {"row_count": (), "null_rate": ()}),
        ("false", dict.fromkeys(KINDS, ())),
        ("true", {}),
    ],
)
def test_a_model_says_so_in_meta(tmp_path, text, checks):
    import yaml

    meta = {"dbtorch": {"checks": yaml.safe_load(text), "owner": "ana"}}
    said = settings_of(meta, node="model.shop.a", file="", project_dir=tmp_path)
    assert (said.checks, said.owner) == (checks, "ana")


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ("{row_cuont: 1}", 'unknown key "row_cuont" in checks.models.a; did you mean "row_count"?'),
        ("{row_count: lots}", 'row_count is "lots"; expected a whole number'),
        ("{row_count: {severity: warn}}", "row_count says neither min nor max"),
        ("{row_count: {min: 5, max: 4}}", "row_count has a min of 5 above its max of 4"),
        ("{row_count: {min: -1}}", "expected a whole number from 0"),
        ("{row_count: true}", "expected a whole number"),
        ("{row_count_change: {last: 3}}", "row_count_change has no percent"),
        ("{row_count_change: 0}", "expected a percentage above 0"),
        ("{row_count_change: half}", 'expected a percentage such as 50 or "50%"'),
        ("{row_count_change: {percent: 5, last: 0}}", "expected a whole number from 1 to 100"),
        ("{null_rate: [{max: 5%}]}", "null_rate[0] has no column"),
        ("{null_rate: {column: a, max: 5}}", 'expected a share of the rows such as 0.05 or "5%"'),
        ("{null_rate: {column: a, max: 101%}}", "expected a share of the rows"),
        ("{freshness: {max_age: 1h}}", "freshness has no column"),
        ("{freshness: {column: at}}", "freshness has no max_age"),
        ("{freshness: {column: at, max_age: 1 day}}", "a duration is a number of seconds"),
        ("{schema: eror}", 'did you mean "error"?'),
        ("{schema: {severity: skip}}", "expected one of warn, error"),
        ("all of them", "expected a mapping with the keys row_count, row_count_change"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_line(refused, checks, said):
    (sentence,) = refused(f"version: 1\nchecks:\n  models:\n    a: {checks}")
    assert sentence.startswith("dbtorch.yml:4: ")
    assert said in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{sources: {orders: {schema: true}}}", 'is no name; write "shop.orders"'),
        ("{model: {a: {schema: true}}}", 'unknown key "model" in checks; did you mean "models"?'),
        ("true", "expected a mapping with the keys sources, models"),
    ],
)
def test_patterns_have_their_places(refused, text, said):
    (sentence,) = refused(f"version: 1\nchecks: {text}")
    assert sentence.startswith("dbtorch.yml:2: ")
    assert said in sentence


@pytest.mark.parametrize(
    ("kind", "materialized", "why"),
    [
        (Kind.TEST, "test", "is for sources, models, seeds and snapshots"),
        (Kind.EXPOSURE, "", "is for sources, models, seeds and snapshots"),
        (Kind.MODEL, "ephemeral", "an ephemeral model has no relation that could be checked"),
    ],
)
def test_what_has_no_relation_has_no_checks(tmp_path, kind, materialized, why):
    (tmp_path / "a.yml").write_text(
        "models:\n  - name: a\n    config:\n      meta:\n        dbtorch:\n"
        "          checks: {schema: true}\n"
    )
    node = Node(
        id=f"{kind}.shop.a",
        kind=kind,
        name="a",
        patch_path="a.yml",
        materialized=materialized,
        meta={"dbtorch": {"checks": {"schema": True}}},
    )
    with pytest.raises(ConfigError, match=r"a\.yml:6: meta\.dbtorch\.checks of ") as found:
        settings_for([node], Config(), tmp_path)
    assert why in str(found.value)
