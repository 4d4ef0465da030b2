"""docs/output.md claims what tests show, and nothing else."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines import Can

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "output.md"


@pytest.fixture
def generator():
    spec = importlib.util.spec_from_file_location("engines_docs", ROOT / ".ci" / "engines_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def claims(generator, tmp_path):
    """What all tests there are would show."""
    files = [
        path for path in ROOT.glob("tests/[!u]*/test_*.py") if "shows(Can." in path.read_text()
    ]
    path = tmp_path / "shown.jsonl"
    pytest_ = [sys.executable, "-m", "pytest", "--collect-only", "-m", "shows", "-p", "no:xdist"]
    pytest_ += ["--assert=plain"]  # nothing runs
    done = subprocess.run(
        [*pytest_, f"--shown={path}", *sorted(files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return generator.read(path)


def test_the_table_has_what_tests_show_on_each_engine(generator, claims):
    page = PAGE.read_text(encoding="utf-8")
    assert generator.updated(page, claims) == page, "run .ci/engines_docs.py"
    assert {one["what"] for one in claims} == {can.name for can in Can}


def test_what_could_not_run_is_not_claimed_and_what_failed_is_no_table(generator):
    page = "<!-- table -->\n<!-- end -->"
    one = {"what": "LIVE", "engine": "process 2"}
    assert "✓" not in generator.updated(page, [{**one, "outcome": "skipped"}])
    passed = {**one, "outcome": "passed"}
    assert generator.updated(page, [passed]).count("✓") == 1
    with pytest.raises(ValueError, match="LIVE of process 2"):
        generator.updated(page, [passed, {**one, "outcome": "failed"}])
    with pytest.raises(ValueError, match="0 places"):
        generator.updated("", [])
