"""How a run comes to know the project: dbt is asked, or must answer what it did last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable
from dbtorch.adapters.dbt.process.project.listing import Listing, flag
from dbtorch.adapters.dbt.process.project.manifest_check import Expected
from dbtorch.adapters.dbt.process.project.target import read_project
from dbtorch.core.errors import EngineError
from dbtorch.ports.engine import Selected

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.process.project.selected import Opened


class Reading:
    """What dbt says of a project, and whether it still says so."""

    def __init__(
        self,
        executable: Executable,
        words: DbtArgs,
        folder: Path,
        *,
        project_dir: Path,
        cwd: Path,
        environ: Mapping[str, str],
        batches: int,
        speculates: bool,
    ) -> None:
        """``folder`` is for what a dbt writes that is asked; ``batches`` may be at work at once.

        With ``speculates`` an earlier answer may do, which the first build confirms.
        """
        self._executable = executable
        self._words = words
        self._folder = folder
        self._project_dir = project_dir
        self._cwd = cwd
        self._environ = environ
        self._batches = batches
        self._speculates = speculates
        self._listing: Listing | None = None
        self._expected: Expected | None = None  # while nobody knows whether dbt answers the same

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the run goes on from an earlier answer of which no dbt has said that it holds."""
        return self._expected is not None

    def prepare(self) -> None:
        """Say it where dbt 2 reads it, if dbt_project.yml wants no usage statistics to be sent.

        Raises `EngineError` for a file that cannot be read.
        """
        project = read_project(self._project_dir)
        if not flag(project, "send_anonymous_usage_stats", default=True):
            self._executable.set_default("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")

    def ask(self) -> None:
        """Let a dbt say what is selected, unless one does; go on meanwhile. Raises `EngineError`.

        Where a build that is held may be writing what it has read, it writes elsewhere.
        """
        if self._listing is None:
            self.prepare()
            apart = self._folder / "listed" if self._executable.entry.reads_first else None
            self._listing = Listing(self._executable, self._words, self._project_dir, apart=apart)

    def expect(self, kept: Selected) -> bool:
        """Take an earlier answer for the one of now, if a build's manifest is enough to confirm it.

        It is not where there are hooks, which are taken from the manifest itself.
        """
        enough = bool(kept.manifest_digest and kept.selected and not kept.hooks)
        if self._speculates and enough:
            self._expected = Expected(kept.manifest_digest, kept.target_path / "manifest.json")
        return self.is_unconfirmed

    def open(self, texts: Sequence[str]) -> Opened:
        """What dbt answers now; ``texts`` are selections to resolve besides the run's own.

        Raises `EngineError`.
        """
        from dbtorch.adapters.dbt.process.project.selected import open_project  # while dbt parses

        favors = self._environ.get("DBT_FAVOR_STATE", "").lower() in ("1", "true")
        if self._words.has("--favor-state") or favors:
            raise EngineError(
                "with --favor-state dbt reads what an earlier batch has built from the other state;"
                " leave it out, or take the session engine (engine.type: session)"
            )
        self.ask()
        assert self._listing is not None
        opened = open_project(
            self._executable,
            self._words,
            self._listing,
            texts,
            folder=self._folder / "asked",
            project_dir=self._project_dir,
            cwd=self._cwd,
            environ=self._environ,
            batches=self._batches,
        )
        self._listing = self._expected = None
        return opened

    def confirm(self, target_path: Path) -> bool | None:
        """Whether dbt has written of the project what was expected; None if it has written nothing.

        Once it is known, nothing is expected any more.
        """
        if self._expected is None:
            return True
        met = self._expected.is_met(target_path / "manifest.json")
        if met is not None:
            self._expected = None
        return met

    def confirm_by_asking(self, target_path: Path) -> bool | None:
        """The same where nothing was built: a dbt is asked that writes the manifest.

        Raises `EngineError`.
        """
        self.ask()
        assert self._listing is not None
        listing, self._listing = self._listing, None
        listing.ids()
        return self.confirm(listing.apart or target_path)
