"""The comparison complains about what it should, and about nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.parity.compare import differences, early_end_differences, warehouse_differences
from tests.parity.normal import normal
from tests.parity.project import Project, Recipe, copied
from tests.parity.random_dag import generate
from tests.parity.reference import BuildResult, Facts, NodeResult, RunResult, Shown
from tests.parity.warehouse import Relation, warehouse

STATUSES = {
    "model.p.good": "success",
    "model.p.bad": "error",
    "model.p.after_bad": "skipped",
    "test.p.complains": "warn",
    "exposure.p.board": "no-op",
    "operation.p.p-on-run-end-0": "success",
    "unit_test.p.good.one": "pass",
    "unit_test.p.good.two": "pass",
}
STATES = {
    "success": "success",
    "pass": "success",
    "no-op": "success",
    "warn": "warn",
    "error": "failed",
    "fail": "failed",
    "skipped": "upstream_failed",
}
FACTS = Facts(
    nodes=frozenset(STATUSES),
    ephemeral=frozenset({"model.p.inline"}),
    tested={"unit_test.p.good.one": "model.p.good", "unit_test.p.good.two": "model.p.good"},
)


def result(id: str, status: str, **changes: Any) -> NodeResult:
    plain = NodeResult(
        id=id,
        status=status,
        failures=None,
        message="as it went",
        relation=None,
        compiled=True,
        code="select 1",
        response={"_message": "OK"},
        batches=(0, 0),
        rest="{}",
    )
    return replace(plain, **changes)


def build(**statuses: str) -> BuildResult:
    results = tuple(result(id, status) for id, status in {**STATUSES, **statuses}.items())
    return BuildResult(exit_code=1, output="", results=results, facts=FACTS, about=ABOUT)


ABOUT = {"run_results.json: args.invocation_command": '"dbt build"'}


def run(**statuses: str) -> RunResult:
    built = build(**statuses)
    return RunResult(
        exit_code=1,
        output="",
        results=built.results,
        facts=FACTS,
        about=ABOUT,
        state="failed",
        shown={entry.id: shown(entry.id, STATES[entry.status]) for entry in built.results or ()},
    )


def shown(id: str, state: str, *, reason: str = "because", message: str = "why") -> Shown:
    attempts = () if state == "upstream_failed" else ({"number": 1, "message": message},)
    return Shown(
        id=id, kind=id.split(".", maxsplit=1)[0], state=state, reason=reason, attempts=attempts
    )


def showing(node: Shown) -> Callable[[RunResult], RunResult]:
    return lambda run: replace(run, shown={**run.shown, node.id: node})


def writing(id: str, **changes: Any) -> Callable[[RunResult], RunResult]:
    def edit(run: RunResult) -> RunResult:
        results = [replace(r, **changes) if r.id == id else r for r in run.results or ()]
        return replace(run, results=tuple(results))

    return edit


def test_equal_is_equal() -> None:
    assert differences(build(), run()) == []


WRONG = [
    # a failed model shown green
    (showing(shown("model.p.bad", "success")), "model.p.bad: success"),
    # a model that never ran shown green
    (showing(shown("model.p.after_bad", "success")), "model.p.after_bad: success"),
    # a warning that nobody sees
    (showing(shown("test.p.complains", "success")), "test.p.complains: success"),
    # a node nobody selected
    (showing(shown("model.p.other", "success")), "model.p.other: success, dbt does not"),
    (showing(shown("model.p.after_bad", "skipped", reason="")), "without a reason"),
    (showing(shown("model.p.bad", "failed", message="")), "without a message"),
    (showing(shown("model.p.good", "running")), "still running"),
    (lambda run: replace(run, shown={}), "shows no such node"),
    (lambda run: replace(run, exit_code=0), "exit code 0, dbt's is 1"),
    (lambda run: replace(run, state="success"), "the run is a success"),
    (lambda run: replace(run, results=None), "run_results.json is missing"),
    (lambda run: replace(run, results=run.results[1:]), "model.p.good: 0 entries"),
    (lambda run: replace(run, results=(*run.results, run.results[0])), "2 entries"),
    (lambda run: replace(run, facts=Facts()), "manifest.json has other nodes"),
    (writing("model.p.bad", status="success"), "run_results.json says success"),
    (writing("model.p.good", code="select 2"), "code in run_results.json is 'select 2'"),
    (writing("model.p.good", response={}), "response in run_results.json is {}"),
    (
        writing("model.p.good", response={"_message": "OK", "rows_affected": "3"}),
        "response in run_results.json is {'_message': 'OK', 'rows_affected': '3'}",
    ),
    (writing("model.p.good", failures=2), "failures in run_results.json is 2"),
]


@pytest.mark.parametrize(("harm", "complaint"), WRONG, ids=[text for _, text in WRONG])
def test_it_complains(harm: Callable[[RunResult], RunResult], complaint: str) -> None:
    assert any(complaint in problem for problem in differences(build(), harm(run())))


ALLOWED = [
    # dbt has no results for ephemeral models, sources, steps and hooks it did not come to
    showing(shown("model.p.inline", "success")),
    showing(shown("source.p.raw.orders", "success")),
    showing(shown("step.load", "success")),
    showing(shown("operation.p.p-on-run-end-1", "failed")),
    # of several failed parents, dbt names any
    writing("model.p.after_bad", message="caused by another one"),
]


@pytest.mark.parametrize("change", ALLOWED)
def test_it_lets_pass(change: Callable[[RunResult], RunResult]) -> None:
    assert differences(build(), change(run())) == []


def test_dbt_skips_unit_tests_beside_a_failed_one_in_any_order() -> None:
    one_first = {"unit_test.p.good.one": "fail", "unit_test.p.good.two": "skipped"}
    two_first = {"unit_test.p.good.one": "fail", "unit_test.p.good.two": "pass"}
    assert differences(build(**one_first), run(**two_first)) == []
    assert differences(build(**one_first), run()) != []  # neither failed


def test_nothing_is_green_where_dbt_gave_up() -> None:
    nothing = replace(build(), results=None)
    assert any("green" in problem for problem in differences(nothing, run()))


def test_failing_fast_may_leave_out_but_not_turn_green() -> None:
    full = build()
    early = writing("test.p.complains", status="skipped")(run())
    early = showing(shown("test.p.complains", "skipped"))(early)
    assert early_end_differences(full, early) == []
    green = writing("model.p.bad", status="success")(early)
    assert any("model.p.bad" in problem for problem in early_end_differences(full, green))


def test_warehouses_differ_in_names_kinds_columns_and_rows() -> None:
    one = {"s.t": Relation("table", (("id", "integer"),), (("1",),))}
    assert warehouse_differences(one, dict(one)) == []
    for other in (
        {},
        {**one, "s.u": one["s.t"]},
        {"s.t": Relation("view", (("id", "integer"),), (("1",),))},
        {"s.t": Relation("table", (("id", "bigint"),), (("1",),))},
        {"s.t": Relation("table", (("id", "integer"),), (("1",), ("1",)))},
    ):
        assert len(warehouse_differences(one, other)) == 1


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "source").mkdir()
    with copied(Recipe(source=tmp_path / "source"), tmp_path / "copy") as made:
        return made


def test_a_warehouse_is_read_without_the_time_of_day(project: Project) -> None:
    with duckdb.connect(str(project.duckdb_file)) as file:
        file.execute(
            "create schema s; create table s.t (noted timestamp, old timestamp, n integer)"
        )
        file.execute("insert into s.t values (localtimestamp, '2020-01-01 10:00:00', null)")
        file.execute("create view s.gone as select n from s.t; create macro s.twice(x) as x * 2")
        file.execute("alter table s.t rename n to m")
    found = warehouse(project)
    assert found["s.t"].rows == (("<now>", "2020-01-01 10:00:00", None),)
    assert found["s.gone"].rows[0][0] == "unreadable: BinderException"
    assert found["s.twice()"].kind == "macro"


def test_what_differs_each_time_is_named_the_same(project: Project) -> None:
    now = datetime.now(UTC)
    texts = {
        f"{now:%Y-%m-%dT%H:%M:%S}Z": "<now>",
        "1999-12-31 23:59:59": "1999-12-31 23:59:59",
        f"model__dbt_tmp{now:%Y%m%d%H%M%S%f}": "model__dbt_tmp<now>",
        "model__dbt_tmp101112131415": "model__dbt_tmp<now>",
        "6dc7b5f2-1b0c-4a3c-9d5e-0123456789ab": "<uuid>",
        'Table t does not exist!\n  Did you mean "u"?': "Table t does not exist!",
        "\x1b[32mactual\x1b[0m": "actual",
        f"{project.path}/models/a.sql": "<project>/models/a.sql",
    }
    for text, expected in texts.items():
        assert normal(text, project) == expected


def test_the_same_seed_writes_the_same_project(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
        generate(tmp_path / name, seed=8 if name == "other" else 7)
    assert files(tmp_path / "one") == files(tmp_path / "two") != files(tmp_path / "other")


def files(folder: Path) -> dict[str, str]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def test_a_field_about_the_whole_is_compared() -> None:
    ran = replace(run(), about={"run_results.json: args.invocation_command": '"dbt 5"'})
    (found,) = differences(build(), ran)
    assert found == (
        """run_results.json: args.invocation_command is "dbt 5", dbt's is "dbt build\""""
    )
