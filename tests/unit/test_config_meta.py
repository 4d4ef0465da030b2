"""meta.dbtorch of dbt's nodes, and where a mistake in it is said to be."""

import textwrap
from datetime import time
from pathlib import Path

import pytest

from dbtorch.adapters.config.meta import settings_for, settings_of
from dbtorch.core.config import Config
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.deadline import DeadlineRule
from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.settings import Settings

SCHEMA = """\
version: 2

models:
  - name: orders
    meta:
      dbtorch:
        retries: 3
        retires: 4
  - name: customers
    config:
      meta: {dbtorch: {timeout: soon}}
  - name: dim
    versions:
      - v: 2
        config:
          meta:
            dbtorch: {pool: nowhere}
    columns:
      - name: id
        data_tests:
          - unique:
              config:
                meta: {dbtorch: {priority: high}}

sources:
  - name: shop
    meta: {dbtorch: {owner: 7}}
    tables:
      - name: raw_orders
"""

PROJECT = """\
name: shop
models:
  shop:
    marts:
      +meta:
        dbtorch:
          timeout: 0
    staging:
      +meta: {dbtorch: {timeout: 0}}
"""


@pytest.fixture
def project(tmp_path):
    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    write("models/schema.yml", SCHEMA)
    write("dbt_project.yml", PROJECT)
    write(
        "models/marts/inline.sql",
        """\
        -- orders by hand
        {{ config(
            meta={'dbtorch': {
                'prioritaet': 1,
            }}
        ) }}
        select 1
        """,
    )
    return tmp_path


def sentence(project_dir, meta, *, node, file="models/schema.yml"):
    with pytest.raises(ConfigError) as caught:
        settings_of(
            {"dbtorch": meta}, node=node, file=file, project_dir=project_dir, pools=["heavy"]
        )
    (only,) = caught.value.problems
    return only


@pytest.mark.parametrize(
    ("kind", "meta", "sentence"),
    [
        (Kind.MODEL, {"on_stale": "warn"}, "on_stale of model.shop.a has no effect on a model, "
         "it is for sources"),
        (Kind.SEED, {"then": "fail"}, "then of seed.shop.a has no effect on a seed, "),
        (Kind.UNIT_TEST, {"for": "1h"}, "for of unit_test.shop.a has no effect on a unit test, "),
        (Kind.EXPOSURE, {"every": "1h"}, "every of exposure.shop.a has no effect on an exposure, "),
        (Kind.TEST, {"max_age": "1h"}, "max_age of test.shop.a has no effect on a test, it is for"
         " models, seeds and snapshots"),
        (Kind.SOURCE, {"require": "all"}, "require of source.shop.a has no effect on a source, it"
         " is for models, snapshots, functions, exposures and saved queries"),
        # where they have one they pass
        (Kind.SOURCE, {"on_stale": "warn", "every": "1m", "for": "1h", "then": "fail"}, ""),
        (Kind.SNAPSHOT, {"require": "all", "max_age": "1h"}, ""),
    ],
)  # fmt: skip
def test_a_key_without_effect_on_that_kind_is_said(tmp_path, kind, meta, sentence):
    (tmp_path / "a.yml").write_text(f"models: [{{name: a, meta: {{dbtorch: {meta}}}}}]")
    node = Node(id=f"{kind}.shop.a", kind=kind, name="a", path="a.yml", meta={"dbtorch": meta})
    if not sentence:
        assert settings_for([node], Config(), tmp_path)[node.id]
        return
    with pytest.raises(ConfigError) as caught:
        settings_for([node], Config(), tmp_path)
    (said,) = caught.value.problems
    assert said.startswith(f"a.yml:1: meta.dbtorch.{sentence}"), said


def test_what_a_node_may_say(tmp_path):
    meta = {
        "other": "tool's",
        "dbtorch": {"retry": {"retries": 2, "delay": "1m"}, "timeout": 90, "pool": "heavy"},
    }
    found = settings_of(meta, node="model.shop.a", file="a.yml", project_dir=tmp_path)
    assert found == Settings(retries=2, retry_delay=60.0, timeout=90.0, pool="heavy")
    assert settings_of({}, node="model.shop.a", file="a.yml", project_dir=tmp_path) == Settings()


@pytest.mark.parametrize(
    ("node", "meta", "expected"),
    [
        # meta of the model itself
        (
            "model.shop.orders",
            {"retries": 3, "retires": 4},
            'models/schema.yml:8: unknown key "retires" in meta.dbtorch of model.shop.orders; '
            'did you mean "retries"?',
        ),
        # under config, all on one line
        (
            "model.shop.customers",
            {"timeout": "soon"},
            'models/schema.yml:11: meta.dbtorch.timeout of model.shop.customers is "soon"; '
            "a duration is a number of seconds, or text such as",
        ),
        # of one version
        (
            "model.shop.dim.v2",
            {"pool": "nowhere"},
            'models/schema.yml:17: meta.dbtorch.pool of model.shop.dim.v2 names the pool "nowhere", '
            "which is not defined; define it",
        ),
        # a test, whose name dbt made up
        (
            "test.shop.unique_dim_id.d1b2",
            {"priority": "high"},
            "models/schema.yml:23: meta.dbtorch.priority of test.shop.unique_dim_id.d1b2 is "
            '"high"; expected a whole number',
        ),
        # a table inherits from its source
        (
            "source.shop.shop.raw_orders",
            {"owner": 7},
            "models/schema.yml:27: meta.dbtorch.owner of source.shop.shop.raw_orders is 7; "
            "expected text, so put it in quotes",
        ),
        # written in the model's own code, which dbt does not say when there is YAML as well
        (
            "model.shop.inline",
            {"prioritaet": 1},
            'models/marts/inline.sql:4: unknown key "prioritaet" in meta.dbtorch of '
            'model.shop.inline; did you mean "priority"?',
        ),
        # a macro made it: the file is all there is to say
        (
            "model.shop.orders",
            {"retry": {"delays": 1}},
            'models/schema.yml: unknown key "delays" in meta.dbtorch.retry of model.shop.orders; '
            'did you mean "delay"?',
        ),
        # no mapping at all
        (
            "model.shop.made",
            [1],
            "models/schema.yml: meta.dbtorch of model.shop.made is a list; expected a mapping with "
            "the keys retries, retry_delay,",
        ),
    ],
)
def test_mistakes_name_node_file_and_line(project, node, meta, expected):
    assert sentence(project, meta, node=node).startswith(expected)


def test_what_a_folder_says_is_found_in_dbt_project_yml(project):
    for folder, line in {"marts": 7, "staging": 9}.items():
        file = f"models/{folder}/schema.yml"
        found = sentence(project, {"timeout": 0}, node="model.shop.x", file=file)
        assert found.startswith(
            f"dbt_project.yml:{line}: meta.dbtorch.timeout of model.shop.x is 0;"
        )


def test_files_that_are_not_there_do_no_harm(tmp_path):
    for file in ("", "models/a.yml", "models/a.sql", "../b/a.yml", "/a.yml", "a.yml"):
        assert "did you mean" in sentence(tmp_path, {"retires": 1}, node="model.b.a", file=file)


def node(name, meta, path="models/marts/schema.yml"):
    return Node(id=f"model.shop.{name}", kind=Kind.MODEL, name=name, path=path, meta=meta)


def test_only_nodes_that_say_something_have_settings():
    nodes = [node("a", {}), node("b", {"x": 1}), node("c", {"dbtorch": {"retries": 1}})]
    found = settings_for(nodes, Config(), Path("nowhere"))
    assert found == {"model.shop.c": Settings(retries=1)}


def test_pools_of_nodes_must_be_defined():
    nodes = [node("a", {"dbtorch": {"pool": "heavy"}})]
    assert settings_for(nodes, Config(pools={"heavy": 1}), Path("nowhere"))
    with pytest.raises(ConfigError, match="which is not defined"):
        settings_for(nodes, Config(), Path("nowhere"))


def test_a_mistake_that_many_inherit_is_told_once(project):
    nodes = [node(f"m{n}", {"dbtorch": {"timeout": 0}}) for n in range(300)]
    nodes.append(node("other", {"dbtorch": {"retires": 0}}, path="models/x.yml"))
    with pytest.raises(ConfigError) as caught:
        settings_for(nodes, Config(), project)
    first, second = caught.value.problems
    assert first.startswith(
        "dbt_project.yml:7: meta.dbtorch.timeout of model.shop.m0 and 299 more is 0;"
    )
    assert second.startswith("models/x.yml: unknown key")


def test_deadlines_and_ages(tmp_path):
    meta = {"dbtorch": {"deadline": "07:30", "max_age": "26h"}}
    found = settings_of(meta, node="model.shop.a", file="a.yml", project_dir=tmp_path)
    assert found == Settings(deadline=DeadlineRule(by=time(7, 30)), max_age=26 * 3600.0)


@pytest.mark.parametrize(
    ("id", "said", "expected"),
    [
        ("model.shop.a", {"deadline": "25:00"}, "there is no such time of day"),
        ("model.shop.a", {"deadline": 0}, "expected more than 0 seconds"),
        (
            "model.shop.a",
            {"max_age": 0},
            "meta.dbtorch.max_age of model.shop.a is 0; expected more",
        ),
        ("model.shop.a", {"max_age": "old"}, "a duration is a number of seconds"),
        ("model.shop.a", {"maxage": "1h"}, 'did you mean "max_age"?'),
        (
            "source.shop.a",
            {"max_age": "1h"},
            "meta.dbtorch.max_age of source.shop.a says nothing, nobody builds a source; give it"
            " freshness with warn_after or error_after",
        ),
    ],
)
def test_deadlines_and_ages_that_say_nothing(tmp_path, id, said, expected):
    node = Node(id=id, kind=Kind(id.partition(".")[0]), name="a", meta={"dbtorch": said})
    with pytest.raises(ConfigError) as caught:
        settings_for([node], Config(), tmp_path)
    assert expected in str(caught.value)
