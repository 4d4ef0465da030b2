"""What dbt does more quickly for us, it does as before."""

import json
from itertools import product
from types import SimpleNamespace

import pytest
from dbt.adapters.base.impl import BaseAdapter
from dbt.adapters.base.relation import BaseRelation
from dbt.adapters.exceptions import ApproximateMatchError
from dbt.clients.jinja import MacroGenerator
from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
from dbt_common.events.base_types import BaseEvent
from dbt_common.events.event_manager import EventManager

from dbtorch.adapters.dbt.dbtorch_worker import patches

#: Packages with macros of the same names, one of them called like a package.
MACROS = {
    "dbt": ["a", "b", "c", "utils"],
    "dbt_duckdb": ["b", "own"],
    "shop": ["a", "money"],
    "utils": ["a", "b", "pivot", "shop"],
}

NAMES = ("orders", "Orders", '"orders"', "ORDERS", "customers")


@pytest.fixture
def dbt(monkeypatch):
    """dbt as it is; what a test changes about it is undone."""
    for owner, name in (
        (BaseEvent, "__init__"),
        (BaseEvent, "__getattr__"),
        (EventManager, "fire_event"),
        (MacroGenerator, "__init__"),
        (MacroNamespaceBuilder, "build_namespace"),
        (MacroNamespace, "__getitem__"),
        (BaseAdapter, "_make_match"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))


def test_every_patch_fits_this_dbt_and_every_digest_is_asked_for(capsys):
    parts = [part for patch in patches.PATCHES for part in patch.parts()]
    assert {part.__qualname__ for part in parts} == set(patches._KNOWN)
    patches.report()
    assert json.loads(capsys.readouterr().out) == {patch.name: "" for patch in patches.PATCHES}


def test_source_that_nobody_knows_is_left_alone(dbt, monkeypatch, capsys):
    monkeypatch.setitem(patches._KNOWN, "MacroNamespace", "another")
    monkeypatch.setattr(
        BaseAdapter, "_make_match", None
    )  # and what is not there cannot be looked at
    monkeypatch.delattr(BaseRelation, "_is_exactish_match")
    before = MacroNamespaceBuilder.build_namespace, MacroNamespace.__getitem__
    generator = MacroGenerator.__init__
    on = patches.apply_patches()
    assert (MacroNamespaceBuilder.build_namespace, MacroNamespace.__getitem__) == before
    assert BaseAdapter._make_match is None
    assert MacroGenerator.__init__ is not generator
    assert on == {patch.name for patch in patches.PATCHES} - {
        "quick namespaces of macros",
        "relations by name",
    }


def test_what_is_left_alone_says_why(monkeypatch, capsys):
    monkeypatch.setitem(patches._KNOWN, "MacroNamespace", "another")
    monkeypatch.delattr(BaseRelation, "_is_exactish_match")
    patches.report()
    why = json.loads(capsys.readouterr().out)
    assert why["quick namespaces of macros"] == "this dbt has another MacroNamespace"
    assert why["relations by name"] == "this dbt has not what it is about"
    assert why["quick macros"] == ""


def namespace(search_package):
    """What names come to in a node of a package."""
    macros = {
        package: {name: SimpleNamespace(name=name, package_name=package) for name in names}
        for package, names in MACROS.items()
    }
    ctx, stack, node = {}, object(), object()
    internal = ["dbt_duckdb", "dbt", "dbt_absent"]
    builder = MacroNamespaceBuilder("shop", search_package, stack, internal, node)
    found = builder.build_namespace(macros, ctx)
    for name in ("no such", ""):
        with pytest.raises(KeyError):
            found[name]
    return {key: told(found[key], ctx, node, stack) for key in found}, {
        (package, name): told(found.get_from_package(package, name), ctx, node, stack)
        for package in (None, "dbt", "utils", "shop")
        for name in ("a", "b", "money", "own")
    }


def told(found, ctx, node, stack):
    """Which macro it is; a package as what is in it."""
    if found is None:
        return None
    if isinstance(found, dict):
        return {name: told(one, ctx, node, stack) for name, one in found.items()}
    assert (found.context, found.node, found.stack) == (ctx, node, stack)
    assert found.context is ctx
    return f"{found.macro.package_name}.{found.macro.name}"


@pytest.mark.parametrize("search_package", MACROS)
def test_macros_are_found_where_dbt_finds_them(dbt, search_package):
    expected = namespace(search_package)
    patches.apply_patches()
    assert namespace(search_package) == expected
    assert expected[0]["b"] == ("utils.b" if search_package == "utils" else "dbt_duckdb.b")


def matched(relations, name, quoting):
    """Relations of the name, or what dbt says against it."""
    config = SimpleNamespace(quoting=dict.fromkeys(("database", "schema", "identifier"), quoting))
    adapter = SimpleNamespace(config=config, Relation=BaseRelation)
    adapter._make_match_kwargs = BaseAdapter._make_match_kwargs.__get__(adapter)
    try:
        return BaseAdapter._make_match(adapter, relations, "db", "main", name)
    except ApproximateMatchError as error:
        return str(error)


def test_relations_match_as_before(dbt):
    relations = [
        BaseRelation.create(
            database="db",
            schema=schema,
            identifier=name,
            dbt_created=created,
            quote_policy={"identifier": quoted},
        )
        for name, schema, created, quoted in product(
            NAMES, ("main", "other"), (True, False), (True, False)
        )
    ]
    asked = [
        *(
            ([one], name, quoting)
            for one in relations
            for name in NAMES
            for quoting in (True, False)
        ),
        *((relations[4:8], name, True) for name in NAMES),
        ([], "orders", True),
    ]
    expected = [matched(*one) for one in asked]
    assert any(isinstance(one, str) for one in expected)
    assert any(isinstance(one, list) and len(one) == 1 for one in expected)
    patches.apply_patches()
    assert [matched(*one) for one in asked] == expected
