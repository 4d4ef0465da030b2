"""Which project a history is asked about, wherever that runs, and what its targets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A project among those that share a history: nothing of the others is seen or touched.

    Its name is not enough: there are many called `analytics`. Nor is that of a target: the `dev`
    of each developer is a schema of its own.
    """

    project_id: str = ""  # empty in a history that has one project only
    name: str = ""  # dbt's; what was written before there were ids is found by it
    places: Mapping[str, str] = field(default_factory=dict)  # target -> what it is here
    target: str = "default"  # what dbt takes when it is told none

    def place(self, target: str) -> str:
        """What is shared by runs that build the same tables; the target's name says the rest."""
        return self.places.get(target) or target

    def lease(self, pipeline: str, place: str) -> str:
        """What one run at a time holds: a pipeline of this project where a target of it is."""
        return f"{self.project_id}/{pipeline}/{place}"

    def called(self, pipeline: str) -> str:
        """A pipeline of this project for people; a dbtorch without ids of projects held this."""
        return f"{self.name}/{pipeline}"
