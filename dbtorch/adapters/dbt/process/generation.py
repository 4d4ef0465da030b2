"""What the two generations of dbt do otherwise, each difference said once.

An executable shows by its file which one it is (`dbt_cli.launcher`), before anybody asks it; a
project that was read, by the version in its manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: One JSON object a line, with everything in it: every dbt has these.
JSON_LINES = ("--log-format", "json", "--log-level", "debug", "--no-use-colors")


@dataclass(frozen=True, slots=True, kw_only=True)
class DbtGeneration:
    """One of them."""

    name: str
    #: Words that make it tell its events; dbt 2 warns of what it no longer knows.
    talk: tuple[str, ...]
    #: A build that waits for its state has read the project by then, and may be writing that.
    reads_first: bool
    #: It changes into the project's folder, so relative paths in a profile count from there.
    changes_folder: bool
    #: It keeps what it has parsed in the target folder, and parses anew in any other.
    parses_into_target: bool
    #: Its run_results.json has ephemeral models, too.
    writes_ephemeral: bool
    #: `dbt build` builds a unit test without its model.
    builds_unit_tests_alone: bool
    #: Microbatch windows without an end reach to now, whenever the run began.
    ends_windows_now: bool

    def base_folder(self, project_dir: Path, cwd: Path) -> Path:
        """The folder that relative paths in a profile and of states count from."""
        return project_dir if self.changes_folder else cwd


DBT_1 = DbtGeneration(
    name="dbt 1",
    talk=JSON_LINES,
    reads_first=False,
    changes_folder=True,
    parses_into_target=True,
    writes_ephemeral=False,
    builds_unit_tests_alone=False,
    ends_windows_now=False,  # our worker and event printer see to that
)
DBT_2 = DbtGeneration(
    name="dbt 2",
    talk=tuple(word for word in JSON_LINES if word != "--no-use-colors"),  # its lines have none
    reads_first=True,
    changes_folder=False,
    parses_into_target=False,
    writes_ephemeral=True,
    builds_unit_tests_alone=True,
    ends_windows_now=True,
)


def generation_of(version: str) -> DbtGeneration:
    """The generation of a version, as manifests have it: ``1.11.2``, ``2.0.0-preview.196``."""
    return DBT_1 if version.startswith("1.") else DBT_2
