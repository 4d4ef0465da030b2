"""docs/contributing/architecture.md and docs/contributing/mechanisms.md name files that are there; no room is too full to look around in."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "dbtorch"
FILES = [path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")]
PAGES = ("architecture", "mechanisms")

#: Modules that a folder may have. The worker's is one program, which is found by its path.
MOST = 22
VERBS = "cli/commands"  # a module a verb, as many as `dbtorch --help` lists
ONE_PROGRAM = "adapters/dbt/dbtorch_worker"


def page(name: str) -> str:
    return (ROOT / "docs" / "contributing" / f"{name}.md").read_text()


def named(text: str) -> list[str]:
    """Files in backticks that are named with a folder, or alone where the name is only once."""
    return re.findall(r"`((?:\w+/)*\w+\.py)`", text)


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_is_there(name: str) -> None:
    found = named(page(name))
    assert len(found) > 20
    missing = [one for one in found if not any(f"/{file}".endswith(f"/{one}") for file in FILES)]
    assert not missing


def test_the_walks_name_each_file_once_and_by_its_whole_path() -> None:
    text = page("architecture")
    walk = named(text[text.index("## From the verb") : text.index("## What holds everywhere")])
    assert [one for one, count in Counter(walk).items() if count > 1] == []
    assert not [one for one in walk if f"dbtorch/{one}" not in FILES]


def test_no_folder_has_more_modules_than_one_can_look_over() -> None:
    folders = Counter(
        Path(file).parent.relative_to("dbtorch").as_posix()
        for file in FILES
        if not file.endswith("__init__.py")
    )
    assert [name for name, count in folders.items() if count > MOST] == [VERBS, ONE_PROGRAM]


@pytest.mark.parametrize("name", PAGES)
def test_every_class_and_method_that_is_named_is_there(name: str) -> None:
    source = "".join((ROOT / file).read_text() for file in FILES)
    known = {*re.findall(r"\b(?:class|def) (\w+)", source), "BuildTask"}  # which is dbt's
    found = re.findall(r"`([A-Z][a-z]\w+)(?:\.(\w+))?(?:\(.*?\))?`", page(name))
    fields = {*re.findall(r"^    (\w+):", source, re.MULTILINE)}
    missing = [(owner, of) for owner, of in found if owner not in known]
    missing += [(owner, of) for owner, of in found if of and of not in known | fields]
    assert not missing


# ---------------------------------------------------------------- CONTRIBUTING.md

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
SPANS = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", GUIDE)


def test_every_path_that_the_guide_names_is_there() -> None:
    paths = [span for span in SPANS if re.fullmatch(r"[\w.-]*/[\w./*-]*|\w+\.(py|md|yml)", span)]
    assert len(paths) > 30
    found = [any(True for root in ("", "**/") for _ in ROOT.glob(f"{root}{one}")) for one in paths]
    assert [one for one, there in zip(paths, found, strict=True) if not there] == []


def test_every_name_of_code_that_the_guide_has_is_there() -> None:
    folders = ("dbtorch", "tests")
    source = "".join(path.read_text() for one in folders for path in (ROOT / one).rglob("*.py"))
    names = {
        part for span in SPANS if re.fullmatch(r"\w+(\.\w+)*", span) for part in span.split(".")
    }
    names = {name for name in names if re.search(r"[A-Z]", name) and len(name) > 3}
    assert len(names) > 15
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", source)] == []


def test_a_double_of_each_port_is_held_to_the_contract_of_the_real_ones() -> None:
    (row,) = re.findall(r"^\| `tests/contract/` \| (.*) \|$", GUIDE, re.MULTILINE)
    doubled, _, store = row.partition("over the double")
    assert "`Store` over SQLite and Postgres" in store
    assert 'params=["sqlite", ' in (ROOT / "tests" / "stores.py").read_text()
    suites = {path.stem: path.read_text() for path in (ROOT / "tests" / "contract").glob("*.py")}
    ports = re.findall(r"`([A-Z]\w+)`", doubled)
    assert ports == ["Engine", "Steps", "Artifacts"]
    assert [port for port in ports if f"Memory{port}(" not in suites[f"test_{port.lower()}"]] == []
