"""What changed between production and a pull request, and why each node is built."""

from dataclasses import replace

import pytest

from dbtorch.core.ci.changes import Change, Reason, Why, compare_code
from dbtorch.core.ci.code import Code, Macro, Resource, Source, same_logic
from dbtorch.core.model.graph import Kind

SAME = [
    ("select 1", "SELECT 1", False),  # some warehouses tell names in capitals apart
    ("select a,b", "select a,\n    b  -- both\n", True),
    ("select 1 /* one */", "select 1", True),
    ("{# todo #}select 1", "select 1", True),
    ("select 1", "select 2", False),
    ("select 'a -- b'", "select 'a'", False),  # a text, no comment
    ("select 'a  b'", "select 'a b'", False),
    ("select 'it''s' -- x", "select 'it''s'", True),
    ("select ab", "select a b", False),
    ("select 1 -- {{ ref('a') }}", "select 1", False),  # Jinja reads comments of SQL
    ("select /*+ broadcast(a) */ 1", "select 1", False),  # and the warehouse reads hints
    ("select $$ a -- b $$", "select $$ a $$", False),  # nobody looks into these
    ('select "a -- b", `c /* d */`', 'select "a", `c`', False),
    ("select 1 -- it's", "select 1", True),
    ("{{ config(x='--') }} select 1", "{{ config(x='') }} select 1", False),
]


@pytest.mark.parametrize(("one", "other", "same"), SAME)
def test_comments_and_formatting_are_told_from_logic(one, other, same):
    assert same_logic(one, other) is same
    assert same_logic(other, one) is same


def test_a_line_of_python_is_what_it_is():
    assert not same_logic("if a:\n  b()", "if a:\n b()", language="python")
    assert not same_logic("x = 1  # one", "x = 1", language="python")


def model(name: str, **more) -> Resource:
    return Resource(
        **{
            "id": f"model.shop.{name}",
            "kind": Kind.MODEL,
            "name": name,
            "code": f"select '{name}'",
            "checksum": name,
            **more,
        }
    )


BASE = [
    model("stg", macros=("macro.shop.outer",), parents=("source.shop.raw.orders",)),
    model("mart", parents=("model.shop.stg",)),
    model("other"),
]
MACROS = {
    "macro.shop.outer": Macro(code="{{ inner() }}", macros=("macro.shop.inner",)),
    "macro.shop.inner": Macro(code="1"),
}


def code(*resources: Resource, macros=MACROS) -> Code:
    return Code(resources={one.id: one for one in resources}, macros=macros)


BEFORE = code(*BASE)


def why(now: Code, *selected: str, before: Code = BEFORE, **more) -> dict[str, list[str]]:
    ids = [f"model.shop.{name}" for name in selected]
    found = compare_code(now, before, ids, **more).nodes
    return {one.resource.name: [str(reason) for reason in one.reasons] for one in found}


def changed(name: str, **fields) -> Code:
    return code(*(replace(one, **fields) if one.name == name else one for one in BASE))


def test_each_change_has_its_reason():
    assert why(changed("other", code="select 2"), "other") == {"other": ["body"]}
    assert why(changed("other", config={"tags": "x"}), "other") == {"other": ["config tags"]}
    assert why(changed("other", contract="c1"), "other") == {"other": ["contract"]}
    assert why(changed("other", description="all"), "other") == {"other": ["description"]}
    assert why(code(*BASE, model("more")), "more") == {"more": ["new"]}
    assert why(code(*BASE), "other") == {"other": ["chosen"]}


def test_what_comes_after_a_change_says_what_it_comes_after():
    now = changed("stg", code="select 2")
    assert why(now, "stg", "mart") == {"stg": ["body"], "mart": ["upstream stg"]}


def test_a_macro_is_named_however_far_it_is():
    macros = {**MACROS, "macro.shop.inner": Macro(code="2")}
    assert why(code(*BASE, macros=macros), "stg") == {"stg": ["macro inner"]}
    gone = {"macro.shop.outer": MACROS["macro.shop.outer"]}
    assert why(code(*BASE, macros=gone), "stg") == {"stg": ["macro inner"]}


def test_a_comment_is_told_apart_in_a_model_and_in_a_macro():
    note = " (comments and formatting only)"
    assert why(changed("other", code="select 'other' -- x"), "other") == {"other": ["body" + note]}
    macros = {**MACROS, "macro.shop.inner": Macro(code="1{# one #}")}
    assert why(code(*BASE, macros=macros), "stg") == {"stg": ["macro inner" + note]}


def test_a_node_that_was_renamed_names_what_it_was():
    now = code(*BASE[:2], model("another", checksum="other"))
    found = compare_code(now, code(*BASE), ["model.shop.another"])
    assert found.deleted == ("other",)
    assert [str(one) for one in found.nodes[0].reasons] == ["renamed other"]


def test_a_seed_without_code_changes_with_its_file():
    seed = model("codes", kind=Kind.SEED, code="", checksum="1")
    now = code(*BASE, replace(seed, checksum="2"))
    assert why(now, "codes", before=code(*BASE, seed)) == {"codes": ["body"]}


def test_a_step_is_named_by_what_reads_what_it_fills():
    found = why(code(*BASE), "stg", "mart", fed={"source.shop.raw.orders": ("load",)})
    assert found == {"stg": ["step load"], "mart": ["upstream stg"]}


def test_a_test_is_there_for_what_it_tests():
    test = model("unique_stg", kind=Kind.TEST, parents=("model.shop.stg",))
    now = code(*changed("stg", code="select 2").resources.values(), test)
    found = why(now, "stg", "unique_stg", before=code(*BASE, test))
    assert found["unique_stg"] == ["test stg"]


def test_what_manifests_say_nothing_of_is_a_reason_too():
    raw = Source(id="source.shop.raw.orders", name="orders")
    unseen = {"model.shop.other": (Reason(kind=Why.VAR, names=("cutoff",)),)}
    now = replace(code(*BASE), sources={raw.id: raw})
    found = why(now, "stg", "other", unseen=unseen, sources={raw.id})
    assert found == {"stg": ["source orders"], "other": ["var cutoff"]}


def test_a_test_that_is_gone_is_told_unless_its_model_is_gone_too():
    on_stg = model("unique_stg", kind=Kind.TEST, parents=("model.shop.stg",))
    on_other = model("unique_other", kind=Kind.TEST, parents=("model.shop.other",))
    before = code(*BASE, on_stg, on_other)
    assert compare_code(code(*BASE[:2]), before, []).deleted == ("other", "unique_stg")


def test_what_is_disabled_by_the_words_it_always_had_is_not_deleted():
    only_there = replace(BASE[2], config={"enabled": "{{ target.name == 'prod' }}"})
    before, now = code(*BASE[:2], only_there), code(*BASE[:2])
    off = replace(only_there, config={"enabled": False})
    assert compare_code(replace(now, disabled={off.id: only_there}), before, []).deleted == ()
    assert compare_code(replace(now, disabled={off.id: off}), before, []).deleted == ("other",)


def test_only_formatting_counts_for_the_whole_node():
    one = model("a")
    body = Reason(kind=Why.BODY, formatting=True)
    assert Change(resource=one, reasons=(body,)).formatting
    assert not Change(resource=one, reasons=(body, Reason(kind=Why.CONFIG))).formatting
    assert not Change(resource=one, reasons=(Reason(kind=Why.UPSTREAM),)).formatting
