"""run_results.json and sources.json of a whole run, and run_results.json that chooses nodes."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dbtorch.adapters.dbt.process.dbt_cli.invocation import Invocation
from dbtorch.adapters.dbt.process.dbt_cli.values import RUN_RESULTS
from dbtorch.core.model.events import Changed
from dbtorch.core.model.graph import BUILT, Kind
from dbtorch.core.model.state import State

_RUN_RESULTS = "https://schemas.getdbt.com/dbt/run-results/v6.json"
_SOURCES = "https://schemas.getdbt.com/dbt/sources/v3.json"

#: Kinds of nodes that have a result.
_HAVE_RESULTS = {*BUILT, Kind.OPERATION}

#: What a result holds where nothing is known.
_EMPTY: Mapping[str, Any] = {
    "status": "error",
    "timing": [],
    "thread_id": "",
    "execution_time": 0.0,
    "adapter_response": {},
    "message": None,
    "failures": None,
    "compiled": None,
    "compiled_code": None,
    "relation_name": None,
    "batch_results": None,
}


def choose(folder: Path, ids: Iterable[str]) -> Path:
    """Write what lets dbt select exactly these nodes with ``result:error``, and answer the folder.

    Both generations of dbt compare unique ids, of any number and kind; a selection by names or
    paths would take more with it. Raises `OSError`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = [{**_EMPTY, "unique_id": id, "thread_id": "dbtorch"} for id in ids]
    args = {"command": "build", "which": "build"}
    content = _artifact(_RUN_RESULTS, results, 0.0, {"dbt_version": "1.11.0"}, args)
    _write(folder / RUN_RESULTS, content)
    return folder


class Artifacts:
    """Results of a run, the last one of each node, and of its sources."""

    def __init__(self, called: Invocation) -> None:
        self.called = called
        self._results: dict[str, dict[str, Any]] = {}
        self._skips: dict[str, dict[str, Any]] = {}  # which is the last word
        self._sources: dict[str, Mapping[str, Any]] = {}
        self.dbt_version = ""
        self.without: frozenset[str] = frozenset()  # nodes of which this dbt writes no result
        self._began = time.monotonic()

    def adopt(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over the results of an earlier execution of the same run."""
        for id, result in results.items():
            if Kind.of(id) is Kind.SOURCE:
                self._sources[id] = result.get("source") or {}
            else:
                self.ended(id, result)

    def ended(self, id: str, result: Mapping[str, Any]) -> None:
        """An attempt came to this."""
        self._results[id] = _result(id, result)

    def checked(self, id: str, source: Mapping[str, Any]) -> None:
        """The check of a source came to this."""
        self._sources[id] = source

    def skipped(self, change: Changed) -> None:
        """A node does not run."""
        why = str(change.reason) if change.state is not State.CANCELLED else None
        result = _result(change.node_id, {"status": "skipped", "message": why})
        self._skips[change.node_id] = result

    def forget_skipped(self) -> None:
        """Another plan goes on; it leaves out others."""
        self._skips.clear()

    def dbt_wrote(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        """What dbt wrote of a batch says more than its events do."""
        for id, result in results.items():
            if id in self._results and self._results[id]["status"] == result.get("status"):
                self.ended(id, {**self._results[id], **result})

    def results(self) -> dict[str, dict[str, Any]]:
        """The last result of each node."""
        return {**self._results, **self._skips}

    def write(self, target_path: Path) -> None:
        """Write what there is of the run. Raises `OSError`."""
        target_path.mkdir(parents=True, exist_ok=True)
        results = [
            result
            for id, result in self.results().items()
            if Kind.of(id) in _HAVE_RESULTS and id not in self.without
        ]
        elapsed = time.monotonic() - self._began
        about = {"dbt_version": self.dbt_version, **self.called.metadata}
        content = _artifact(_RUN_RESULTS, results, elapsed, about, self.called.told())
        _write(target_path / RUN_RESULTS, content)
        self.write_sources(target_path)

    def write_sources(self, target_path: Path) -> None:
        """Write what there is of sources, if there is any. Raises `OSError`."""
        if self._sources:
            elapsed = time.monotonic() - self._began
            sources = list(self._sources.values())
            about = {"dbt_version": self.dbt_version}
            content = _artifact(_SOURCES, sources, elapsed, about)
            _write(target_path / "sources.json", content)


def _result(id: str, known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_EMPTY,
        **{key: value for key, value in known.items() if key in _EMPTY},
        "unique_id": id,
    }


def _artifact(
    schema: str,
    results: list[Any],
    elapsed: float,
    about: Mapping[str, Any],
    args: Mapping[str, Any] | None = None,
) -> bytes:
    metadata = {
        "invocation_id": str(uuid.uuid4()),  # dbt 2 ignores, in silence, a file without one
        "env": {},
        **about,
        "dbt_schema_version": schema,
        "generated_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    artifact: dict[str, Any] = {"metadata": metadata, "results": results, "elapsed_time": elapsed}
    if args is not None:
        artifact["args"] = args
    return msgspec.json.encode(artifact)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
