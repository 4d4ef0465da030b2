"""Rules of lint over nodes, what places sentences name, and the file of what is known."""

import json
from dataclasses import replace

import pytest

from dbtorch.adapters.config.locate import Locator
from dbtorch.core.ci.lint import Level, LintSpec, style
from dbtorch.core.ci.reports.findings import Finding
from dbtorch.core.errors import ConfigError, Placed, UsageError
from dbtorch.core.model.graph import Kind, Node
from dbtorch.service.lint.baseline import Baseline
from dbtorch.service.lint.lint import Linted, place_of_dbt, place_of_ours

ORDERS = Node(id="model.shop.orders", kind=Kind.MODEL, name="orders", package="shop", path="o.sql")
BOARD = Node(id="exposure.shop.board", kind=Kind.EXPOSURE, name="board", package="shop")
TEST = Node(id="test.shop.unique", kind=Kind.TEST, name="unique", package="shop")
READ = (ORDERS.id, BOARD.id)


def found(*nodes, edges=(), spec=None, checked=(), runbook=""):
    said = style(nodes, edges, spec or LintSpec(), package="shop", checked=checked, runbook=runbook)
    return [(one.level, one.rule, one.node) for one in said]


@pytest.mark.parametrize(
    ("nodes", "more", "rules"),
    [
        ([ORDERS], {}, ["untested"]),
        ([ORDERS, TEST], {"edges": [(ORDERS.id, TEST.id)]}, []),
        ([ORDERS], {"checked": [ORDERS.id]}, []),
        ([replace(ORDERS, materialized="ephemeral")], {}, []),
        ([replace(ORDERS, package="other")], {}, []),  # whoever made it has to test it
        ([replace(ORDERS, id="seed.shop.orders", kind=Kind.SEED)], {}, []),
        ([ORDERS, BOARD], {"edges": [READ]}, ["untested", "unowned", "no_runbook"]),
        (
            [replace(ORDERS, owner="Ann", runbook="r.md"), BOARD],
            {"edges": [READ], "checked": [ORDERS.id]},
            [],
        ),
        ([ORDERS, BOARD], {"edges": [READ], "runbook": "r.md"}, ["untested", "unowned"]),
    ],
)
def test_what_each_rule_finds(nodes, more, rules):
    assert [rule for _, rule, _ in found(*nodes, **more)] == rules


def test_a_rule_weighs_as_much_as_is_said():
    spec = LintSpec(untested=Level.ERROR, unowned=Level.IGNORE)
    assert found(ORDERS, BOARD, edges=[READ], spec=spec) == [
        ("error", "untested", "orders"),
        ("warning", "no_runbook", "orders"),
    ]


@pytest.mark.parametrize(
    ("place", "sentence", "expected"),
    [
        (place_of_ours, Placed("unknown key", "dbtorch.yml", 3), ("dbtorch.yml", 3, "unknown key")),
        (place_of_ours, Placed("is empty", "dbtorch.yml"), ("dbtorch.yml", 0, "is empty")),
        (place_of_ours, "a cycle: a -> b", ("", 0, "a cycle: a -> b")),
        (place_of_dbt, "in model a (models/a.sql)\n  line 4", ("models/a.sql", 4)),
        (place_of_dbt, "Model 'x' (models/a.sql) depends on", ("models/a.sql", 0)),
        (place_of_dbt, "dbt said something about line 4", ("", 0)),
    ],
)
def test_a_sentence_names_its_place(place, sentence, expected):
    one = place(sentence)
    assert (one.path, one.line, one.text)[: len(expected)] == expected


FOUND = Linted(
    findings=(
        Finding(level="warning", node="a", id="model.s.a", path="a.yml", text="", rule="untested"),
        Finding(level="warning", node="b", id="model.s.b", path="a.yml", text="", rule="untested"),
    )
)


def test_only_what_the_baseline_does_not_know_counts(tmp_path):
    file = tmp_path / "known.json"
    written = Baseline(file=file, update=True).apart(FOUND)
    assert (written.ok, len(written.known), written.findings) == (True, 2, ())
    moved = tuple(replace(one, line=9, path="elsewhere.yml") for one in FOUND.findings[:1])
    another = Finding(level="warning", node="c", id="model.s.c", path="", text="", rule="untested")
    later = Baseline(file=file).apart(Linted(findings=(*moved, another)))
    assert later.findings == (another,)
    assert (later.ok, later.known, later.gone) == (False, moved, ("untested model.s.b",))
    assert Linted(findings=(another,)).ok  # a warning fails nobody who has no baseline


def test_a_project_that_does_not_fit_together_is_in_no_baseline(tmp_path):
    broken = Linted(findings=FOUND.findings, error=ConfigError(["x"]))
    file = tmp_path / "known.json"
    with pytest.raises(UsageError, match="there is no baseline"):
        Baseline(file=file, update=True).apart(broken)
    Baseline(file=file, update=True).apart(FOUND)
    assert not Baseline(file=file).apart(broken).ok


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"version": 2, "findings": []})])
def test_a_file_that_is_no_baseline_is_refused(text, tmp_path):
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(UsageError, match="is no baseline of this version"):
        Baseline(file=tmp_path / "known.json").apart(FOUND)
    with pytest.raises(UsageError, match="give --baseline FILE"):
        Baseline(update=True).apart(FOUND)
    with pytest.raises(UsageError, match="cannot be written"):
        Baseline(file=tmp_path / "no" / "known.json", update=True).apart(FOUND)


def test_the_line_of_a_description(tmp_path):
    (tmp_path / "schema.yml").write_text(
        "models:\n"
        "  - name: orders\n"
        "    columns:\n"
        "      - name: kpi\n"
        "      - name: id\n"
        "  - description: x\n"
        "    name: kpi\n"
    )
    (tmp_path / "broken.yml").write_text("a: [")
    lines = Locator(tmp_path)
    assert lines.described("orders", "schema.yml") == 2
    assert lines.described("orders", "schema.yml", column="id") == 5
    assert lines.described("orders", "schema.yml", column="gone") == 2
    assert lines.described("kpi", "schema.yml") == 7  # the model, and not the column
    assert lines.described("kpi", "schema.yml", column="id") == 7
    for file in ("models/orders.sql", "gone.yml", "broken.yml", ""):
        assert lines.described("orders", file) == 0
