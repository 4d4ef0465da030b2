"""Removing files of runs from ``--artifacts-url``, with the runs or after them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from dbtorch.ports.artifacts import Artifacts, ArtifactsError
from dbtorch.ports.store import Store


class RemoteRemoval:
    """What was removed, or would be; ``problem`` says why not all of it was."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self.url = artifacts.url
        self.folders = 0
        self.problem = ""

    def of(
        self, store: Store, before: datetime, runs: Collection[str], *, dry_run: bool = False
    ) -> None:
        """Remove the files of ``runs``, and as old ones of which the history knows nothing.

        Those were left when somebody removed a run and nobody answered here. Never raises
        `ArtifactsError`.
        """
        try:
            found = [*self._chosen(store, before, runs)]
        except ArtifactsError as error:
            self.problem = str(error)
            return
        for run_id in found:
            if not dry_run and not self.remove(run_id):
                return
            self.folders += dry_run

    def remove(self, run_id: str) -> bool:
        """Remove the files of a run; answers whether that worked."""
        try:
            self._artifacts.remove(run_id)
        except ArtifactsError as error:
            self.problem = str(error)
            return False
        self.folders += 1
        return True

    def _chosen(self, store: Store, before: datetime, runs: Collection[str]) -> Iterator[str]:
        for run_id in self._artifacts.runs():
            if run_id in runs:
                yield run_id
            elif run_id not in store.find(run_id):
                written = self._artifacts.written_at(run_id)
                if written is not None and written < before:
                    yield run_id
