"""Every figure that was measured names the script that measures it, and the README is short."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

import pytest

from dbtorch.cli.text.words import MARK
from dbtorch.core.config import GRACE
from tests.pages import PAGES, ROOT, prose

#: What a reader takes for measured: a ratio, a time finer than a second, a rate, a comparison of speeds. Whole
#: seconds are settings and promises: `grace` is 3 s because the code says so.
MEASURED = re.compile(
    r"""\d\ ?\N{MULTIPLICATION SIGN}(?!\w) | \b\d+\.\d+\ times\b
      | (?<![\w.:/])\d+\.\d+\ ?(?:m?s|seconds)\b | \b\d+\ ?ms\b | \bCPU\ seconds\b
      | \bnodes(?:/s|\ a\ second)\b
      | \b(?:half|twice)\ (?:the\ time|as\ (?:long|fast))\b
      | \b(?:faster|slower)\ than\b | \btimes\ as\ (?:long|fast)\b | \bpercent\ longer\b""",
    re.VERBOSE | re.IGNORECASE,
)

#: What says where a figure comes from: a script of ours, the page that has them all, or somebody else's page.
_SCRIPT = re.compile(r"(?:benchmarks/|`)(\w+\.py)\b")
_NAMED = re.compile(r"\]\([^)]*benchmarks\.md[^)]*\)|\]\(https://[^)]+\)")

SCRIPTS = {path.name for path in (ROOT / "benchmarks").glob("*.py")} - {"measure.py", "project.py"}
FIGURES = "docs/contributing/benchmarks.md"


def parts(page: str) -> Iterator[str]:
    """Paragraphs, items of lists and rows of tables."""
    for paragraph in re.split(r"\n\s*\n", prose(page)):
        rows = paragraph.startswith("|")
        yield from re.split(r"\n(?=[-*|] ?)" if rows else r"\n(?=\s*[-*] )", paragraph)


def unexplained(part: str) -> bool:
    """Whether a part has a figure and does not say who measured it."""
    scripts = set(_SCRIPT.findall(part)) & SCRIPTS
    return bool(MEASURED.search(part)) and not scripts and not _NAMED.search(part)


@pytest.mark.parametrize("page", PAGES)
def test_a_measured_figure_names_its_script(page: str) -> None:
    assert [part for part in parts(page) if unexplained(part)] == []


def test_figures_have_their_conditions() -> None:
    page = PAGES[FIGURES].read_text(encoding="utf-8")
    _, _, figures = page.partition("## Figures")
    assert re.search(
        r"\bcores\b.*\bPython 3\.\d+\b.*\bdbt-core \d.*\bPostgres \d", figures, re.DOTALL
    )
    _, *rows = re.findall(r"^\| .*", figures, re.MULTILINE)
    assert len(rows) > 20
    assert [row for row in rows if not _SCRIPT.search(row) and "---" not in row] == []
    scripts = set(_SCRIPT.findall(page.partition("## Figures")[0]))
    assert scripts >= SCRIPTS  # each says there what it compares
    assert set(_SCRIPT.findall(page)) <= SCRIPTS


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("It takes 0.6 times as long.", True),
        ("It takes 0.6 times as long (`benchmarks/dbt_build.py`).", False),
        ("It takes 0.6 times as long ([benchmarks](contributing/benchmarks.md)).", False),
        ("It takes 0.6 times as long (`benchmarks/nothing.py`).", True),
        ("About half as long as `dbt build`.", True),
        ("Ready in 40 ms.", True),
        ("0.53 \N{MULTIPLICATION SIGN} of it.", True),
        ("SIGKILL follows after 3 seconds.", False),
        ("Tested with dbt-core 1.11.", False),
    ],
)
def test_what_names_nothing_is_noticed(part: str, wrong: bool) -> None:
    assert unexplained(part) is wrong


# ---------------------------------------------------------------- the README

#: Words of the README, the code and what is printed counted as a reader does: what has a letter or a digit, between spaces.
MOST = 450


def test_the_readme_is_read_in_two_minutes() -> None:
    text = PAGES["README.md"].read_text(encoding="utf-8")
    words = [word for word in text.split() if re.search(r"\w", word)]
    assert len(words) <= MOST


def test_the_readme_has_what_a_stranger_looks_for() -> None:
    text = PAGES["README.md"].read_text(encoding="utf-8")
    first = text.split("\n\n")[1]
    assert "no replacement for" in first  # what it is not
    assert "```sh\npip install " in text
    assert "```console" in text
    assert "FAIL " in text
    assert "| | `dbt build` | `dbtorch run` |" in text
    assert "```yaml\nversion: 1" in text
    assert len(re.findall(r"^- \*\*[\d.]+.*\N{MULTIPLICATION SIGN}\*\*", text, re.MULTILINE)) == 3
    assert "live-view.svg" in text


def test_the_picture_is_of_the_program_as_it_is_and_of_nobodys_machine() -> None:
    drawn = (ROOT / "docs" / "live-view.svg").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", drawn)
    lines = [line for line in text.splitlines() if re.match(r"\d\d:\d\d:\d\d", line)]
    assert {line[10 : 10 + MARK].strip() for line in lines} >= {"RETRY", "FAIL"}
    assert {line[10 + MARK : 12 + MARK] for line in lines} == {"  "}  # the columns of today
    assert not re.search(r"/(work|home|root|Users|tmp)\b", text)


def test_pictures_of_pull_requests_are_of_what_runs_say() -> None:
    spec = importlib.util.spec_from_file_location(
        "pull_request_pictures", ROOT / ".ci" / "pull_request_pictures.py"
    )
    assert spec is not None
    assert spec.loader is not None
    drawn = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawn)
    for name, file in drawn.PICTURES.items():
        text = (drawn.TEXTS / file).read_text(encoding="utf-8")
        assert drawn.source((ROOT / "docs" / name).read_bytes()) == drawn.digest(text), name
        assert f"]({name})" in PAGES["docs/pull-requests.md"].read_text(encoding="utf-8")


# ---------------------------------------------------------------- settings


def test_the_grace_that_pages_name_is_that_of_the_code() -> None:
    said = {
        (page, seconds)
        for page in PAGES
        for seconds in re.findall(
            r"`grace:?`\]?(?:\([^)]*\))?,? \(?(\d+) ?(?:s|seconds)\b", prose(page)
        )
    }
    assert {page for page, _ in said} >= {"docs/steps.md", "docs/production.md"}
    assert {float(seconds) for _, seconds in said} == {GRACE}
