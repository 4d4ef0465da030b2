"""What the command line says about a run for a pull request."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dbtorch.core.ci.comparison import How
from dbtorch.core.ci.place import CiPlace, place_of
from dbtorch.core.errors import UsageError
from dbtorch.service.ci.forks import fork
from dbtorch.service.project.options import RunOptions

#: Where a pull request is built by default.
SCHEMA = "{schema}_pr_{pr}"

#: How old a state may be by default, in seconds.
MAX_AGE = 7 * 86400.0

_PR = re.compile(r"[A-Za-z0-9_]{1,40}")


class Freshness(StrEnum):
    """What is done about the freshness of sources."""

    REPORT = "report"  # it is said, and holds nothing back
    GATE = "gate"  # what dbtorch.yml says of a run under `freshness`
    OFF = "off"  # nobody looks


class Cloning(StrEnum):
    """What incremental models begin with."""

    AUTO = "auto"  # production's rows where the warehouse clones tables, else nothing
    COPY = "copy"  # production's rows, copied where it cannot clone
    OFF = "off"  # nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class CiOptions:
    """What the command line says."""

    run: RunOptions
    pr: str = ""
    state: str | None = None  # folder or URL
    state_from: str | None = None  # name of a production pipeline
    max_state_age: float | None = MAX_AGE  # seconds
    full: bool = False  # build everything, without a state
    base: str | None = None
    fork: str = ""  # the repository the pull request comes from, where that is another one
    schema: str = SCHEMA
    favor_state: bool | None = None  # None: yes, where the engine can
    clone: Cloning = Cloning.AUTO
    freshness: Freshness = Freshness.REPORT
    compare: bool = True
    how: How = field(default_factory=How)
    limit_event_time: float | None = None  # seconds
    max_duration: float | None = None  # seconds

    def settled(self) -> tuple[CiOptions, CiPlace]:
        """The same with what the CI system says. Raises `UsageError`."""
        place = place_of(self.run.environ)
        pr = self.pr or place.pr
        if not pr:
            raise UsageError(
                "nobody says which pull request this is: give its number with --pr"
                " (GitHub, GitLab, Bitbucket and Azure say it in their jobs for pull requests)"
            )
        if not _PR.fullmatch(pr):
            raise UsageError(
                f"--pr {pr!r} cannot be part of a schema's name: use up to 40 letters, digits and _"
            )
        if "{pr}" not in self.schema:
            raise UsageError(
                f"--schema {self.schema!r} names one schema for all pull requests: put {{pr}} in it"
            )
        base, came_from = self.base or place.base or None, fork(self.run.environ)
        return replace(self, pr=pr, base=base, fork=came_from), place

    def schema_of(self, schema: str) -> str:
        """The schema of this pull request, beside a target's."""
        return self.schema.replace("{schema}", schema).replace("{pr}", self.pr)
