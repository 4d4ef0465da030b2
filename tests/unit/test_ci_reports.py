"""Reports of a result: Markdown, JUnit, annotations of GitHub, GitLab's code quality."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dbtorch.core.ci.reports.findings import code_quality, commands, findings
from dbtorch.core.ci.reports.junit import junit
from dbtorch.core.ci.reports.markdown import PICTURED, escaped, markdown
from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from dbtorch.service.ci.reports import Reports, placed, post_result
from tests.forge_server import TOKEN, forge_server
from tests.unit.test_ci_result import BODY, DONE, NOON, SAME, change, node

LATER = NOON + timedelta(hours=3)

BAD = 'Database Error\n  syntax error at "<b>|`@team` 100%, \x00\x1b[31m" & more'

FAILED = replace(
    DONE,
    state=RunState.FAILED,
    nodes=(
        node("orders", State.FAILED, message=BAD, path="m/orders.sql", owner="@data", seconds=1.5),
        node("kpi", State.UPSTREAM_FAILED, message="orders failed"),
        node(
            "warns", State.WARN, message="Got 3 results", kind=Kind.TEST, path="t/warns.yml", line=7
        ),
    ),
    edges=(("model.shop.orders", "model.shop.kpi"), ("model.shop.kpi", "exposure.shop.board")),
)


def test_the_first_three_lines_answer_the_three_questions():
    lines = markdown(DONE, LATER).splitlines()
    assert lines[0].startswith("✅ **It works: 2 nodes done in schema ci\\_pr\\_12.**")
    assert lines[1].startswith("It changes orders.")
    assert lines[2].startswith("It affects 1 exposure: board (Ann).")
    assert "Compared with the state of production of 3h ago, built from commit `aaaaaaaaaaaa`" in (
        markdown(DONE, LATER)
    )


def test_a_failure_is_a_line_of_a_table_whatever_it_says():
    text = markdown(FAILED, LATER)
    assert text.startswith("❌ **It does not work: orders failed; 1 node did not run.**")
    (row,) = [line for line in text.splitlines() if line.startswith("| orders | &#64;data ")]
    assert row.count(" | ") == 3
    assert "&lt;b&gt;\\|\\`&#64;team\\`" in row
    assert "@" not in text


def test_a_picture_has_what_is_built_and_what_is_affected():
    text = markdown(FAILED, LATER)
    picture = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert picture is not None
    assert picture[1].splitlines() == [
        "flowchart LR",
        '  n0["board"]',
        '  n1["kpi"]',
        '  n2["orders"]:::failed',
        "  n2 --> n1",
        "  n1 --> n0",
        "  classDef changed stroke-width:3px",
        "  classDef failed stroke:#d1242f,stroke-width:3px",
    ]
    many = tuple(change(f"m{n}", BODY) for n in range(PICTURED + 1))
    assert "mermaid" not in markdown(replace(FAILED, changes=many), LATER)


def test_a_long_text_loses_what_matters_least():
    changes = tuple(change(f"model_{n}", BODY) for n in range(40))
    whole = markdown(replace(DONE, changes=changes), LATER)
    assert "40 built, and why" in whole
    short = markdown(replace(DONE, changes=changes), LATER, most=len(whole) - 1)
    assert len(short) < len(whole)
    assert "40 built, and why" not in short
    assert "_1 section left out: the text would be too long._" in short
    assert short.startswith("✅ **It works")
    assert len(markdown(replace(DONE, changes=changes), LATER, most=200)) <= 201


# a text, and how Markdown has it
ESCAPED = [
    ("a|b", "a\\|b"),
    ("<!-- dbtorch ci shop 12 -->", "&lt;!-- dbtorch ci shop 12 --&gt;"),
    ("[x](http://a)", "\\[x\\](http://a)"),
    ("two\nlines", "two lines"),
    ("@everyone", "&#64;everyone"),
    ("a$b and c$d", "a\\$b and c\\$d"),  # not a formula
]


@pytest.mark.parametrize(("text", "said"), ESCAPED)
def test_nothing_that_somebody_writes_is_markdown(text, said):
    assert escaped(text) == said


def test_junit_is_xml_whatever_somebody_says():
    (suite,) = ET.fromstring(junit(FAILED))
    assert suite.attrib == {
        "name": "dbtorch ci 12",
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "0.000",
    }
    failed, behind, warns = suite
    assert (failed.get("name"), failed.get("file"), failed.get("time")) == (
        *("orders", "m/orders.sql"),
        "1.500",
    )
    assert failed[0].tag == "failure"
    assert failed[0].text is not None
    assert '"<b>|`@team` 100%, \ufffd\ufffd[31m" & more' in failed[0].text
    assert (behind[0].tag, behind[0].get("message")) == ("skipped", "orders failed")
    assert (len(warns), warns.get("classname")) == (0, "test")


def test_annotations_are_at_files_and_ten_of_a_level():
    different = replace(SAME, rows_after=5)
    found = replace(FAILED, compared=(replace(FAILED.compared[0], comparison=different),))
    lines = commands(
        placed(findings(found), Path("/w/dbt/shop"), {"GITHUB_WORKSPACE": "/w"})
    ).splitlines()
    assert lines[0].startswith("::error file=dbt/shop/m/orders.sql,line=1,title=orders::Database")
    assert "100%25" in lines[0]
    assert lines[1:] == [
        "::warning file=dbt/shop/t/warns.yml,line=7,title=warns::Got 3 results",
        "::notice file=dbt/shop/m/orders.sql,line=1,title=orders"
        "::other than in production: 5 rows (+2)",
    ]
    nodes = tuple(node(f"n{n}", State.FAILED, path="m/other.sql") for n in range(12))
    many = replace(FAILED, nodes=(*nodes, node("orders", State.FAILED, path="m/orders.sql")))
    lines = commands(findings(many)).splitlines()
    assert len(lines) == 10
    assert "m/orders.sql" in lines[0]  # the file that the pull request changes


def test_a_command_to_the_runner_cannot_be_broken_out_of():
    evil = replace(FAILED, nodes=(node("a:b,c\n::error::x", State.FAILED, message="\n::set-x::"),))
    (line,) = commands(findings(evil)).splitlines()
    assert line.startswith("::error title=a%3Ab%2Cc%0A%3A%3Aerror%3A%3Ax::")


def test_code_quality_has_what_has_a_place():
    found = json.loads(code_quality(findings(FAILED)))
    assert [(one["severity"], one["location"]["path"]) for one in found] == [
        ("critical", "m/orders.sql"),
        ("minor", "t/warns.yml"),
    ]
    assert len({one["fingerprint"] for one in found}) == 2


def write(result, reports: Reports, folder: Path, **environ: str) -> str:
    return reports.write(result, project_dir=folder, environ=environ, now=LATER)


def test_reports_are_written_where_they_are_asked_for(tmp_path):
    reports = Reports(
        junit=tmp_path / "out" / "junit.xml",
        comment=tmp_path / "comment.md",
        code_quality=tmp_path / "quality.json",
    )
    assert write(FAILED, reports, tmp_path) == ""
    assert (tmp_path / "out" / "junit.xml").read_text() == junit(FAILED)
    assert json.loads((tmp_path / "quality.json").read_text())
    assert (tmp_path / "comment.md").read_text().startswith("<!-- dbtorch ci shop 12 -->\n❌")
    write(replace(DONE, run_id="", nodes=(), changes=()), reports, tmp_path)
    assert (tmp_path / "comment.md").read_text() == ""  # nothing to say


def test_a_runner_of_github_gets_summary_outputs_and_annotations(tmp_path):
    summary, outputs = tmp_path / "summary", tmp_path / "outputs"
    summary.write_text("before\n")
    printed = write(
        FAILED,
        Reports(),
        (tmp_path / "dbt").resolve(),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
        GITHUB_OUTPUT=str(outputs),
        GITHUB_WORKSPACE=str(tmp_path),
    )
    assert printed.startswith("::error file=dbt/m/orders.sql,line=1,")
    assert summary.read_text().startswith("before\n❌ **It does not work")
    assert outputs.read_text().splitlines() == [
        *("state=failed", "schema=ci_pr_12", "run_id=r1"),
        *("built=3", "failed=1", "different=0"),
    ]


def test_a_report_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(UsageError, match=r"the report .*junit\.xml cannot be written"):
        write(DONE, Reports(junit=tmp_path / "a" / "junit.xml"), tmp_path)


def test_the_comment_is_posted_and_updated_and_none_is_made_of_nothing():
    nothing = replace(DONE, run_id="", nodes=(), changes=())
    with forge_server() as server:
        environ = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": server.url,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_TOKEN": TOKEN,
        }

        def post(result, **more: str) -> str:
            return post_result(result, {**environ, **more}, LATER, pause=lambda _: None)

        assert (post(nothing), server.said()) == ("", [])
        assert post(FAILED) == ""
        assert post(DONE) == ""
        (said,) = server.said()
        assert said.startswith("<!-- dbtorch ci shop 12 -->\n✅ **It works")
        assert post(nothing) == ""
        assert "Nothing that dbt builds has changed" in server.said()[0]
        assert post(DONE, GITHUB_TOKEN="").startswith(
            "the comment is not posted: there is no token"
        )
