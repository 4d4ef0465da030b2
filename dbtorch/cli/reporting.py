"""The report of a run, by a command of its own or at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbtorch.cli.text.terminal import echo
from dbtorch.core.errors import DbtorchError


@dataclass(frozen=True, slots=True)
class RunReportFile:
    """Where the report of a run goes when it has ended, and whose history has the run."""

    path: str
    project_dir: str | None
    database_url: str | None

    def make_room(self) -> None:
        """Remove that of an earlier run. Raises `UsageError` where none can be written."""
        from dbtorch.web.report import make_room

        make_room(Path(self.path))

    def write(self, run_id: str) -> None:
        """Write it; what goes wrong is said, and the run stays as it ended."""
        try:
            write(run_id, self.path, self.project_dir, self.database_url)
        except DbtorchError as error:
            echo(f"Warning: there is no report: {error}", err=True)


def write(
    run: str, output: str | None, project_dir: str | None, database_url: str | None
) -> tuple[Path, int]:
    """Write the report of a run; answers where, and its bytes.

    Raises `UsageError`, `NotFound`, `StoreError`.
    """
    from dbtorch.service.history.run_page import run_page
    from dbtorch.service.history.store import open_history
    from dbtorch.service.project.project import find_project_dir
    from dbtorch.web.report import write_report

    folder = find_project_dir(project_dir)
    with open_history(project_dir, database_url, places=True) as store:
        page = run_page(store, run, project_dir=folder)
    path = Path(output or f"{page.run.run_id}.html")
    return path, write_report(page, path)
