"""Every name that is printed means exactly the node it was printed for."""

from hypothesis import given
from hypothesis import strategies as st

from dbtorch.core.model.graph import Kind, Node
from dbtorch.core.model.measure import check_id
from dbtorch.core.model.naming import label, meant, named_apart, names_among

KINDS = ["model", "seed", "test", "unit_test", "source", "exposure", "snapshot"]
NAMES = st.sampled_from(["a", "b", "a b", "check a", "model a", "step.a", "v1", "x.a"])
PACKAGES = st.sampled_from(["shop", "a", "x"])


@st.composite
def nodes(draw):
    found = {}
    for _ in range(draw(st.integers(1, 8))):
        kind, package, name = draw(st.sampled_from(KINDS)), draw(PACKAGES), draw(NAMES)
        tail = draw(st.sampled_from(["", ".v1", ".v2", ".0a", "_v1"]))
        node = Node(
            id=f"{kind}.{package}.{name}{tail}", kind=Kind(kind), name=name, package=package
        )
        found[node.id] = node
        if draw(st.booleans()):
            id = check_id(node.id)
            found[id] = Node(id=id, kind=Kind.CHECK, name=name)
    for name in draw(st.sets(st.sampled_from(["a", "b", "v1"]))):
        found[f"step.{name}"] = Node(id=f"step.{name}", kind=Kind.STEP, name=name)
    return list(found.values())


@given(nodes())
def test_what_is_printed_means_that_node(given):
    shown = named_apart(given, among=given)
    assert [node.id for node in shown] == [node.id for node in given]
    listed = names_among(shown)
    for node in shown:
        for text in (node.id, label(node), listed[node.id]):
            assert [one.id for one in meant(shown, text)] == [node.id], text


def unit_test(version):
    id = f"unit_test.shop.fct.test_totals_v{version}"
    return Node(id=id, kind=Kind.UNIT_TEST, name="test_totals")


def test_unit_tests_of_versions_are_told_apart():
    both = [
        unit_test(1),
        unit_test(2),
        Node(id="unit_test.shop.b.c", kind=Kind.UNIT_TEST, name="c"),
    ]
    assert [node.name for node in named_apart(both, both)] == [
        "test_totals_v1",
        "test_totals_v2",
        "c",
    ]
    # also where only one of them takes part
    assert [node.name for node in named_apart(both[:1], both)] == ["test_totals_v1"]


def test_who_names_a_model_means_the_model_and_not_its_check():
    model = Node(id="model.shop.kpis", kind=Kind.MODEL, name="kpis")
    check = Node(id="check.model.shop.kpis", kind=Kind.CHECK, name="kpis")
    for text, node in (("kpis", model), ("check kpis", check), ("check:kpis", check)):
        assert meant([check, model], text) == [node]
