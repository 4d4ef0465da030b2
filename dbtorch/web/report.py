"""One run as one file of HTML: it opens from a disk, and asks nobody for anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dbtorch.core.errors import UsageError
from dbtorch.service.history.graph_page import Asked, RunGraph, picture
from dbtorch.service.history.run_page import RunPage, page_json
from dbtorch.web.pages import data, one_script, render, source_hash, static

#: Modules that draw it, each after those it needs.
_SCRIPTS = (
    *("common.js", "plots.js", "paint.js", "stage.js", "lanes.js", "live.js"),
    *("run.js", "report_graph.js"),
)


def report_html(page: RunPage) -> str:
    """The file: style, script and data are within it, and nothing else may be fetched."""
    script = one_script(*_SCRIPTS)
    style = static("style.css") + static("graph.css")
    graph = _graph_of_failures(page)
    policy = (
        f"default-src 'none'; script-src '{source_hash(script)}'; style-src '{source_hash(style)}';"
        " base-uri 'none'; form-action 'none'"
    )
    return render(
        "report.html",
        page=page,
        graph=graph,
        policy=policy,
        script=Markup(script),  # noqa: S704  # both are files of the package
        style=Markup(style),  # noqa: S704
        data=data({**page_json(page), "graph": graph}),
    )


def _graph_of_failures(page: RunPage) -> dict[str, Any] | None:
    """What failed with one step around it, and where that is drawn; None where nothing did."""
    if not page.summary.failures:
        return None
    return picture(RunGraph(page.run, page.report.state, {}), Asked())


def write_report(page: RunPage, path: Path) -> int:
    """Write it, whole or not at all; answers its bytes. Raises `UsageError`."""
    _refuse_what_is_no_file(path)
    text = report_html(page).encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.write_bytes(text)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error
    return len(text)


def make_room(path: Path) -> None:
    """Remove the report of an earlier run, which nobody may take for that of this one.

    Raises `UsageError` where no file can be written, before anything is run.
    """
    _refuse_what_is_no_file(path)
    try:
        path.touch()
        path.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def _refuse_what_is_no_file(path: Path) -> None:
    if path.exists() and not path.is_file():  # a device must stay
        raise UsageError(f"the report {path} cannot be written: it is no file")


def _cannot_write(path: Path, error: OSError) -> UsageError:
    return UsageError(f"the report {path} cannot be written: {error.strerror or error}")
