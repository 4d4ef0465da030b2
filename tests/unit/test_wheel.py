"""What `pip install` gives: the version, the command, the pages, and addresses that agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

from dbtorch.version import VERSION
from tests.pages import PAGES, ROOT

#: Our address, wherever it is written.
OURS = re.compile(r"https://github\.com/dbtorch/[\w.-]+")
WRITTEN = (
    *PAGES.values(),
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / "mkdocs.yml",
    ROOT / "pyproject.toml",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with what is installed, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, ROOT]
    subprocess.run([*command, *options], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The wheel as pip unpacks it."""
    folder = wheel.parent / "site"
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def dbtorch(installed: Path, *words: str) -> str:
    """What the command prints, from the wheel and nowhere else."""
    code = (
        "import sys; from dbtorch.__main__ import main; "
        f"assert sys.modules['dbtorch'].__file__.startswith({str(installed)!r}); sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.starts
def test_the_wheel_has_the_version_the_command_and_the_pages(installed: Path) -> None:
    info = installed / f"dbtorch-{VERSION}.dist-info"
    assert VERSION == "0.1.0"
    assert "dbtorch = dbtorch.__main__:main" in (info / "entry_points.txt").read_text()
    assert dbtorch(installed, "--version") == f"dbtorch {VERSION}\n"
    listed = dbtorch(installed, "docs")
    pages = [path.stem for path in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if not re.search(rf"^{page} ", listed, re.MULTILINE)] == []
    page = dbtorch(installed, "docs", "quickstart")
    assert page.strip() == (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8").strip()


@pytest.mark.starts
def test_the_wheel_says_where_things_are(installed: Path) -> None:
    said = message_from_string((installed / f"dbtorch-{VERSION}.dist-info/METADATA").read_text())
    urls = dict(url.split(", ") for url in said.get_all("Project-URL", []))
    assert urls.keys() == {"Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith(urls["Source"]) for url in urls.values())
    assert said["License-Expression"] == "Apache-2.0"
    assert [path.name for path in installed.rglob("LICENSE")] == ["LICENSE"]


def test_our_address_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = {
        (path.relative_to(ROOT).as_posix(), url)
        for path in WRITTEN
        for url in OURS.findall(path.read_text(encoding="utf-8"))
    }
    assert {url for _, url in said} == {project["urls"]["Source"]}
    assert {"SECURITY.md", "docs/quickstart.md", ".github/ISSUE_TEMPLATE/config.yml"} <= {
        where for where, _ in said
    }


def test_files_of_an_address_are_there() -> None:
    for path in WRITTEN:
        text = path.read_text(encoding="utf-8")
        for file in re.findall(r"dbtorch/dbtorch/(?:blob|tree)/main/([\w./-]+)", text):
            assert (ROOT / file).exists(), f"{path}: {file}"
