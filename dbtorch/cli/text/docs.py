"""`dbtorch docs`: the documentation that belongs to the version that is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dbtorch
from dbtorch.cli.errors import OK
from dbtorch.core.errors import UsageError
from dbtorch.core.text.nearest import did_you_mean


def docs(page: str | None, *, echo: Callable[[str], None]) -> int:
    """Print a page, or say which ones there are. Answers the exit code; raises `UsageError`."""
    pages = {path.stem: path for path in sorted(_folder().glob("*.md"))}
    if page is None:
        width = max(map(len, pages))
        for name, path in pages.items():
            echo(f"{name:<{width}}  {next(_heading(path), '')}")
        echo("\n`dbtorch docs PAGE` prints one of them")
        return OK
    if page not in pages:
        hint = did_you_mean(page, pages) or f"; there are: {', '.join(pages)}"
        raise UsageError(f"there is no page {page!r}{hint}")
    echo(pages[page].read_text(encoding="utf-8").rstrip())
    return OK


def _heading(path: Path) -> Iterator[str]:
    """The heading of a page."""
    with path.open(encoding="utf-8") as file:
        yield from (line.lstrip("# ").rstrip() for line in file if line.startswith("# "))


def _folder() -> Path:
    """Beside the package in a checkout, within it where it was installed."""
    package = Path(dbtorch.__file__).parent
    found = next((one for one in (package / "docs", package.parent / "docs") if one.is_dir()), None)
    if found is None:
        raise UsageError("this installation has no documentation; it is in dbtorch's source")
    return found
