"""Writing a result where people and programs look: files, and what a runner of GitHub reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from dbtorch.adapters.clock import SystemClock
from dbtorch.core.ci.reports.findings import Finding, code_quality, commands, findings
from dbtorch.core.ci.reports.junit import junit
from dbtorch.core.ci.reports.markdown import markdown, marker
from dbtorch.core.ci.result import CiResult
from dbtorch.core.errors import UsageError
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import find_project_dir

#: Bytes of a summary that GitHub shows, and letters of a comment that GitHub takes.
_SUMMARY, _COMMENT = 1_000_000, 65_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """Which reports are wanted besides what is printed."""

    junit: Path | None = None
    comment: Path | None = None
    code_quality: Path | None = None

    def write(
        self,
        result: CiResult,
        *,
        project_dir: Path,
        environ: Mapping[str, str],
        now: datetime,
    ) -> str:
        """Write them; answers what is to be printed for a runner of GitHub.

        The comment is empty where there is nothing to say. Raises `UsageError`.
        """
        found = placed(findings(result), project_dir, environ)
        if self.junit is not None:
            _write(self.junit, junit(result))
        if self.code_quality is not None:
            _write(self.code_quality, code_quality(found))
        if self.comment is not None:
            text = (
                f"{marker(result.project, result.pr)}\n{markdown(result, now, most=_COMMENT - 200)}"
            )
            _write(self.comment, "" if is_silent(result) else text)
        if environ.get("GITHUB_ACTIONS") != "true":
            return ""
        if path := environ.get("GITHUB_STEP_SUMMARY"):
            _write(Path(path), markdown(result, now, most=_SUMMARY // 4), append=True)
        if path := environ.get("GITHUB_OUTPUT"):
            _write(Path(path), _outputs(result), append=True)
        return commands(found)


def write_reports(reports: Reports, result: CiResult, options: RunOptions) -> str:
    """Write what is wanted of a run that has ended; answers what is to be printed.

    Raises `UsageError`.
    """
    return reports.write(
        result,
        project_dir=find_project_dir(options.project_dir, options.environ),
        environ=options.environ,
        now=SystemClock().now(),
    )


def write_findings(
    found: Iterable[Finding], code_quality_file: Path | None, options: RunOptions
) -> str:
    """Write what lint has found; answers what is to be printed for a runner of GitHub.

    Raises `UsageError`.
    """
    at = placed(found, find_project_dir(options.project_dir, options.environ), options.environ)
    if code_quality_file is not None:
        _write(code_quality_file, code_quality(at))
    return commands(at) if options.environ.get("GITHUB_ACTIONS") == "true" else ""


def placed(
    found: Iterable[Finding], project_dir: Path, environ: Mapping[str, str]
) -> list[Finding]:
    """The findings with paths in the repository, as far as the CI system says where that is."""
    top = environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR")
    if not top or not project_dir.is_relative_to(Path(top).resolve()):
        return [*found]
    folder = project_dir.relative_to(Path(top).resolve())
    return [replace(one, path=(folder / one.path).as_posix()) if one.path else one for one in found]


def post(result: CiResult, options: RunOptions) -> str:
    """Post the comment; answers why it is not there, if so."""
    return post_result(result, options.environ, SystemClock().now())


def post_result(
    result: CiResult,
    environ: Mapping[str, str],
    now: datetime,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Post the comment at the pull request, or update it; answers why it is not there, if so.

    Where there is nothing to say, none is made; one of an earlier commit says so.
    """
    from dbtorch.adapters.forges import ForgeError, forge_of, post_comment

    mark = marker(result.project, result.pr)
    try:
        forge = forge_of(environ, result.pr)
        text, create = _comment(result, now), not is_silent(result)
        post_comment(forge, mark, text, pause=pause, create=create)
    except ForgeError as error:
        return f"the comment is not posted: {error}; --comment-file writes it to a file"
    return ""


def _comment(result: CiResult, now: datetime) -> str:
    return f"{marker(result.project, result.pr)}\n{markdown(result, now, most=_COMMENT - 200)}"


def is_silent(result: CiResult) -> bool:
    """Whether a pull request needs no comment: nothing was to be built, and nothing is gone."""
    return result.empty and not result.deleted


def _outputs(result: CiResult) -> str:
    """Outputs of a step of GitHub; no text of anybody's, which might break out of its line."""
    said = {
        "state": str(result.state),
        "schema": "".join(result.schema.split()),
        "run_id": result.run_id,
        "built": len(result.nodes),
        "failed": len(result.failed),
        "different": len(result.different),
    }
    return "".join(f"{name}={value}\n" for name, value in said.items())


def _write(path: Path, text: str, *, append: bool = False) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if append else "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise UsageError(
            f"the report {path} cannot be written: {error.strerror}; the run has ended, and"
            " `dbtorch show` has it"
        ) from error
