"""The documentation's site: no dead link, no dead anchor, nothing that a reader's browser fetches elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify

from tests.pages import PAGES, ROOT, blocks_of, prose

#: What takes the network from a process; nothing where the system does not let us.
_ALONE = ("unshare", "--map-root-user", "--net")
try:
    NO_NETWORK = _ALONE if subprocess.run([*_ALONE, "true"], check=False).returncode == 0 else ()
except OSError:
    NO_NETWORK = ()

BESIDE_THE_SITE = [page for page in PAGES if not page.startswith("docs/")]


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of ``folder`` as CI does, without a network.

    Not with `--quiet`, which hides warnings from `--strict`.
    """
    return subprocess.run(
        [
            *NO_NETWORK,
            *(sys.executable, "-m", "mkdocs", "build", "--strict"),
            *("-f", folder / "mkdocs.yml", "-d", site),
        ],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_is_built_without_a_warning_and_needs_no_other(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "output.html").read_text(encoding="utf-8")
    fetched = re.findall(
        r"<(?:script|img|iframe)[^>]+src=\"([^\"]+)|<link[^>]+href=\"([^\"]+)", page
    )
    assert fetched
    assert [url for pair in fetched for url in pair if re.match(r"(\w+:)?//", url)] == []


def test_pages_are_markdown_that_github_shows_as_well() -> None:
    config = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0]
    assert yaml.safe_load(config.partition("\nplugins:")[2].partition("\n\n")[0]) == ["search"]
    own = re.compile(r"^(?:!!!|\?\?\?|===) |\{:? ?[.#][\w-]+[^}\n]*\}|^---$", re.MULTILINE)
    assert {page: found for page in PAGES if (found := own.findall(prose(page)))} == {}


def test_the_site_knows_every_fence() -> None:
    """A fence with two words is none to it, so that what comes after is taken for code."""
    opened = {block.language for page in PAGES for block in blocks_of(page)}
    assert [language for language in opened if re.search(r"\s", language)] == []


def test_there_are_sixteen_pages_at_most() -> None:
    """By the four kinds of the menu; pages for contributors are theirs."""
    nav = yaml.safe_load(
        (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2].partition("\n# All")[0]
    )
    kinds = {kind: pages for one in nav for kind, pages in one.items()}
    assert [*kinds] == ["Tutorial", "How-to", "Reference", "Explanation", "Contributing"]
    del kinds["Contributing"]
    listed = [page for pages in kinds.values() for page in pages]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))
    assert len(listed) <= 16


@pytest.mark.parametrize("link", ["nothing.md", "other.md#nowhere", "#nowhere", "/other.md"])
def test_a_dead_link_fails_the_build(link: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    nav = re.sub(
        r"(?s)^nav:.*?(?=^# All)", "", (tmp_path / "mkdocs.yml").read_text(), flags=re.MULTILINE
    )
    (tmp_path / "mkdocs.yml").write_text(nav)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    (tmp_path / "docs" / "index.md").write_text(f"# It\n\n[there]({link})\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert link.rsplit("#", maxsplit=1)[-1] in done.stderr


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {slugify(re.sub(r"[`*]", "", heading), "-") for heading in headings}


@pytest.mark.parametrize("page", BESIDE_THE_SITE)
def test_links_of_a_page_beside_the_site_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        file, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (PAGES[page].parent / file).resolve() if file else PAGES[page]
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target), f"{page}: {link}"
