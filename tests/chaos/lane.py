"""A copy of the sample project that is built again and again, on one kind of warehouse."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from dbtorch.adapters.store import open_store
from dbtorch.core.history.records import RunRecord
from dbtorch.service.project.store_scope import reader_of
from tests.acceptance.workspace import Workspace
from tests.chaos.server import Server
from tests.dbt2 import file_for_both
from tests.engines import PROCESS_1_11, PROCESS_2, SESSION_1_11, Driven
from tests.parity.project import Project
from tests.parity.warehouse import Relation, warehouse

ROOT = Path(__file__).parents[2]

#: What a checkout does not have.
_GENERATED = shutil.ignore_patterns(
    "target", "logs", "exports", ".dbtorch", "__pycache__", "*.duckdb*", ".user.yml"
)

#: Grows by one row with every dbt invocation, and a resumed run has several.
_PER_INVOCATION = "shop.audit_dbt_runs"

#: Has a unit test as an incremental model, for which dbt 2 wants a table to be there already.
_INCREMENTAL = "models/marts/core/_core__models.yml"

#: Compares the columns of the table that is there with its own, when it is built again.
_CHECKS_SCHEMA = "models/marts/core/fct_orders.sql"

#: No part of any other name: comparing leaves it out.
_DATABASE = "chaos_warehouse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build left, without what is different each time."""

    record: RunRecord
    relations: Mapping[str, Relation]
    exports: tuple[str, ...]
    statuses: Mapping[str, str]  # of run_results.json
    logs: frozenset[tuple[str, int]] = field(
        default_factory=frozenset
    )  # a node as files call it, attempt


class Lane:
    """One warehouse, one history, one folder; emptied before each round."""

    def __init__(
        self,
        folder: Path,
        *,
        server: Server | None = None,
        history: bool = False,
        driven: Driven = SESSION_1_11,
    ) -> None:
        """On DuckDB, or on a ``server``, which may have the ``history`` too."""
        self.name = "duckdb" if server is None else f"postgres{', history too' * history}"
        self.server = server
        self.driven = driven
        self.workspace = Workspace(folder, bare=True, driven=driven)
        self._history = history
        for name in ("sample_project", "profiles"):
            shutil.copytree(ROOT / name, folder / name, ignore=_GENERATED)
        self.project = folder / "sample_project"
        self._part: tuple[str, ...] = ()
        if driven is not SESSION_1_11:
            self.name += f", {driven}"
            self._adapt()
        if server is not None:
            self.workspace.env |= {
                "PGHOST": "127.0.0.1",
                "PGPORT": str(server.port),
                "PGUSER": "dbtorch",
                "PGDATABASE": _DATABASE,
                "DBT_TARGET": "postgres",
            }
        if history and server is not None:
            self.workspace.env["DBTORCH_DATABASE_URL"] = server.database("history")

    def _adapt(self) -> None:
        """Say which engine it is, and leave out what that cannot have."""
        with _edited(self.project / "dbtorch.yml") as config:
            config["engine"] |= yaml.safe_load(self.driven.spec(self.driven.make()))
        if not self.driven.is_process:
            return
        if self.driven is PROCESS_1_11:
            # dbt 1 starts anew for each batch: all of the shop would be 22 of them
            self._part = ("--select", "+stg_shop__web_events")
        else:
            with _edited(self.project / _INCREMENTAL) as models:
                tests = models["unit_tests"]
                tests[:] = [one for one in tests if "is_incremental" not in str(one)]
            # four steps, and a build of several layers: more of it is more of the same
            self._part = ("--select", "+fct_orders", "--indirect-selection", "cautious")
            # dbt 2 finds that the columns of a table it has built itself have other types
            model = self.project / _CHECKS_SCHEMA
            model.write_text(model.read_text().replace("on_schema_change='fail',", ""))
        # its hooks are run from the shadow of the project, where a relative path is another one
        self.workspace.env["SHOP_DUCKDB"] = str(self.workspace.dir / "warehouse.duckdb")

    def empty(self, *, manifest_cache: bool) -> None:
        """Forget everything but what dbt has parsed, and its kept answer for a ``head_start``."""
        if self.server is not None:
            self.server.make(_DATABASE)
            if self._history:
                self.server.make("history")
        for path in self.workspace.dir.glob("warehouse.duckdb*"):
            path.unlink()
        if self.driven is PROCESS_2 and self.server is None:
            file_for_both(self.workspace.dir / "warehouse.duckdb")
        shutil.rmtree(self.project / "exports", ignore_errors=True)
        (self.project / "target" / "run_results.json").unlink(missing_ok=True)
        state = self.project / ".dbtorch"
        for path in [*state.glob("dbtorch.db*"), *state.glob("runs"), *state.glob("cache")]:
            if path.name == "cache" and manifest_cache:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def words(self, verb: str) -> tuple[str, ...]:
        """A command of dbtorch."""
        part = self._part if verb == "run" else ()
        return (verb, "--project-dir", "sample_project", "--log-format", "json", *part)

    def undisturbed(self) -> tuple[Built, float]:
        """Build everything once; answers what that left, and how many seconds it took."""
        self.empty(manifest_cache=True)
        begin = time.monotonic()
        self.workspace.dbtorch(*self.words("run"))
        return self.built(), time.monotonic() - begin

    def record(self) -> RunRecord | None:
        """The newest run; None while there is none."""
        if not self._history and not (self.project / ".dbtorch" / "dbtorch.db").exists():
            return None
        url = self.workspace.env.get("DBTORCH_DATABASE_URL")
        whose = replace(reader_of(self.project, url), places={})
        store = open_store(url, self.project, identity=whose)
        try:
            found = store.find("latest")
            return store.run(found[0]) if found else None
        finally:
            store.close()

    def built(self) -> Built:
        """What is there now."""
        record = self.record()
        assert record is not None
        results = json.loads((self.project / "target" / "run_results.json").read_text())["results"]
        runs = self.project / ".dbtorch" / "runs"
        logs = [path.stem for path in (runs / record.run_id / "nodes").glob("*.log")]
        return Built(
            record=record,
            relations=self._relations(),
            exports=tuple(
                sorted(path.read_text() for path in self.project.glob("exports/*/*.csv"))
            ),
            statuses={result["unique_id"]: result["status"] for result in results},
            logs=frozenset(
                (name, int(number)) for name, _, number in (stem.rpartition(".") for stem in logs)
            ),
        )

    def _relations(self) -> dict[str, Relation]:
        shop = Project(
            path=self.workspace.dir,
            profiles=self.workspace.dir / "profiles",
            target_path=self.project / "target",
            env={"PGDATABASE": _DATABASE},
            duckdb_file=self.workspace.dir / "warehouse.duckdb",
            postgres=self.server.database(_DATABASE) if self.server is not None else None,
        )
        return {name: found for name, found in warehouse(shop).items() if name != _PER_INVOCATION}


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, Any]]:
    """What a YAML file says, to be changed."""
    content = yaml.safe_load(path.read_text())
    yield content
    path.write_text(yaml.safe_dump(content, sort_keys=False))
