"""What dbtorch reads of a manifest.json."""

import json

import msgspec
import pytest

from dbtorch.adapters.dbt.manifest import decode_manifest, read_manifest
from dbtorch.core.model.freshness import Thresholds
from dbtorch.core.model.graph import Kind


def resource(id, *after, **more):
    """A resource as dbt writes it, with keys nobody reads."""
    kind, package, name = id.split(".")[:3]
    return {
        "unique_id": id,
        "name": name,
        "resource_type": kind,
        "package_name": package,
        "original_file_path": f"models/{name}.sql",
        "patch_path": None,
        "created_at": 1.5,
        "fqn": [package, name],
        "depends_on": {"nodes": list(after), "macros": ["macro.dbt.run_query"]},
        **more,
    }


def decode(nodes=(), **more):
    """A manifest of these; ``more`` are its other sections, lists of resources."""
    sections = {"nodes": nodes, **more}
    content = {
        name: {found["unique_id"]: found for found in resources}
        for name, resources in sections.items()
    }
    return decode_manifest(json.dumps({"metadata": {"dbt_version": "1.11"}, **content}).encode())


def only(node, **more):
    (found,) = decode([node], **more).nodes
    return found


#: section -> a resource of it, and the kind of its node
KINDS = [
    ("nodes", "model.shop.a", Kind.MODEL),
    ("nodes", "seed.shop.a", Kind.SEED),
    ("nodes", "snapshot.shop.a", Kind.SNAPSHOT),
    ("nodes", "test.shop.a.0a1b2c", Kind.TEST),
    ("nodes", "operation.shop.shop-on-run-start-0", Kind.OPERATION),
    ("unit_tests", "unit_test.shop.a.b", Kind.UNIT_TEST),
    ("exposures", "exposure.shop.a", Kind.EXPOSURE),
    ("saved_queries", "saved_query.shop.a", Kind.SAVED_QUERY),
    ("functions", "function.shop.a", Kind.FUNCTION),
    ("sources", "source.shop.raw.a", Kind.SOURCE),
]


@pytest.mark.parametrize(("section", "id", "kind"), KINDS, ids=[kind for _, _, kind in KINDS])
def test_each_kind_of_resource_becomes_a_node(section, id, kind):
    (node,) = decode(**{section: [resource(id)]}).nodes
    assert (node.id, node.kind, node.package) == (id, kind, "shop")


def test_what_is_not_executed_is_no_node():
    assert decode([resource("analysis.shop.a"), resource("sql_operation.shop.a")]).nodes == ()


def test_an_empty_manifest_has_no_nodes():
    assert decode_manifest(b"{}").nodes == ()


def test_edges_are_dbts_own_each_once():
    manifest = decode(
        [
            resource("model.shop.a", "source.shop.raw.a", "source.shop.raw.a"),
            resource("model.shop.b", "model.shop.a", "model.shop.disabled"),
            resource("test.shop.t.1", "model.shop.a", "model.shop.b"),
            # seeds depend on no nodes, and say nothing of it
            {**resource("seed.shop.s"), "depends_on": {"macros": []}},
        ],
        sources=[resource("source.shop.raw.a", source_name="raw")],
        unit_tests=[resource("unit_test.shop.a.u", "model.shop.a")],
    )
    assert sorted(manifest.edges) == [
        ("model.shop.a", "model.shop.b"),
        ("model.shop.a", "test.shop.t.1"),
        ("model.shop.a", "unit_test.shop.a.u"),
        ("model.shop.b", "test.shop.t.1"),
        ("source.shop.raw.a", "model.shop.a"),
    ]


def test_an_exposure_of_a_metric_comes_after_the_metrics_models():
    manifest = decode(
        [resource("model.shop.a"), resource("model.shop.b")],
        exposures=[resource("exposure.shop.kpis", "metric.shop.ratio", "model.shop.b")],
        metrics=[
            resource("metric.shop.ratio", "metric.shop.sum"),
            resource("metric.shop.sum", "semantic_model.shop.s"),
        ],
        semantic_models=[resource("semantic_model.shop.s", "model.shop.a")],
    )
    assert manifest.edges == (
        ("model.shop.a", "exposure.shop.kpis"),
        ("model.shop.b", "exposure.shop.kpis"),
    )


def test_a_node_says_what_people_want_to_know():
    node = only(
        resource(
            "model.shop.a",
            description="All of it.",
            tags=["daily"],
            patch_path="shop://models/a.yml",
            config={"materialized": "incremental", "unique_key": "id"},
        )
    )
    assert (node.name, node.path, node.patch_path) == ("a", "models/a.sql", "models/a.yml")
    assert (node.materialized, node.tags, node.description) == (
        "incremental",
        ("daily",),
        "All of it.",
    )


def test_nulls_are_nothing():
    node = only(
        resource("model.shop.a", description=None, config={"materialized": None}, group=None)
    )
    assert (node.description, node.materialized, node.group, node.owner) == ("", "", "", "")


def test_a_source_is_named_with_its_schema():
    (node,) = decode(
        sources=[resource("source.shop.raw.orders", source_name="raw") | {"name": "orders"}]
    ).nodes
    assert node.name == "raw.orders"


FINANCE = {"group.shop.finance": {"name": "finance", "owner": {"name": "Ada", "slack": "#money"}}}

#: what a model or exposure says -> its owner
OWNERS = [
    ({}, ""),
    ({"group": "finance"}, "Ada"),
    ({"config": {"group": "finance"}}, "Ada"),
    # meta.dbtorch is more specific than a group
    ({"group": "finance", "config": {"meta": {"dbtorch": {"owner": "Eve"}}}}, "Eve"),
    ({"group": "nobody"}, ""),
    ({"owner": {"name": "Bob", "email": "bob@shop"}}, "Bob"),
    ({"owner": {"email": "bob@shop"}}, "bob@shop"),
    ({"owner": {"email": ["bob@shop", "eve@shop"]}}, "bob@shop, eve@shop"),
    ({"owner": {"name": None, "email": None}}, ""),
    # dbt refuses neither; dbtorch's own reading of meta says what is wrong with it
    ({"config": {"meta": {"dbtorch": "retries: 3"}}}, ""),
]


@pytest.mark.parametrize(("said", "owner"), OWNERS)
def test_who_owns_a_node(said, owner):
    content = {"nodes": {"model.shop.a": resource("model.shop.a", **said)}, "groups": FINANCE}
    (node,) = decode_manifest(json.dumps(content).encode()).nodes
    assert node.owner == owner


def test_meta_of_the_config_wins_and_keeps_what_it_does_not_say():
    meta = {"a": 1, "dbtorch": {"retries": 1}}
    node = only(
        resource(
            "model.shop.a",
            meta=meta,
            config={"meta": {"dbtorch": {"runbook": "docs/a.md"}, "b": 2}},
        )
    )
    assert node.meta == {"a": 1, "b": 2, "dbtorch": {"runbook": "docs/a.md"}}
    assert node.runbook == "docs/a.md"


def test_a_manifest_is_read_from_a_file(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"nodes": {"model.shop.a": resource("model.shop.a")}}))
    assert [node.id for node in read_manifest(path).nodes] == ["model.shop.a"]


@pytest.mark.parametrize("content", [b"", b'{"nodes": {"a": {}}}', b'{"nodes": []}'])
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(msgspec.MsgspecError):
        decode_manifest(content)


def test_on_error_is_a_models_config():
    continues = {"config": {"on_error": "continue"}}
    assert only(resource("model.shop.a", **continues)).on_error == "continue"
    assert only(resource("test.shop.a.0a1b2c", **continues)).on_error == ""
    assert only(resource("model.shop.a", config={"on_error": 7})).on_error == ""


@pytest.mark.parametrize(
    ("freshness", "expected"),
    [
        (None, None),
        ({"warn_after": None, "error_after": None, "filter": None}, None),
        # what dbt writes of a threshold that nobody set
        ({"warn_after": {"count": None, "period": None}}, None),
        (
            {"warn_after": {"count": 90, "period": "minute"}, "error_after": None},
            Thresholds(warn_after=5400),
        ),
        (
            {"error_after": {"count": 2, "period": "day"}, "warn_after": {"count": 1, "period": 7}},
            Thresholds(error_after=172_800),
        ),
    ],
)
def test_thresholds_of_a_source(freshness, expected):
    source = resource("source.shop.raw.orders", freshness=freshness)
    found = decode(sources=[source]).freshness
    assert found.get("source.shop.raw.orders") == expected
