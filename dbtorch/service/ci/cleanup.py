"""Dropping the schemas of pull requests: only what has the name and carries our marker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.dbt.project_code import read_code
from dbtorch.adapters.forges import ForgeDown, ForgeError, forge_of, is_open
from dbtorch.core.ci.schemas import Fate, Schema
from dbtorch.core.errors import EngineError, UsageError
from dbtorch.core.text.phrases import ago
from dbtorch.ports.engine import Engine, Selected
from dbtorch.service.ci.options import SCHEMA
from dbtorch.service.ci.session import MARKER
from dbtorch.service.planning.preview import open_session
from dbtorch.service.project.dbt_options import without
from dbtorch.service.project.options import RunOptions

#: What pull requests are called in names of schemas.
_PR = "[A-Za-z0-9_]{1,40}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleanup:
    """Which schemas are to go."""

    prs: tuple[str, ...] = ()
    closed: bool = False  # those of pull requests that are no longer open, as their forge says
    older_than: float | None = None  # seconds since something was last built
    schema: str = SCHEMA
    yes: bool = False  # drop them; else only say which

    def go(
        self, options: RunOptions, *, pause: Callable[[float], None] = time.sleep
    ) -> list[Schema]:
        """Look, and drop. Raises `UsageError`, `EngineError`."""
        if "{pr}" not in self.schema:
            raise UsageError(
                f"--schema {self.schema!r} names one schema for all pull requests: put {{pr}} in it"
            )
        forge = AskedForge(options.environ, pause) if self.closed else None
        words = without(options.dbt_args, {"--select", "--exclude", "--selector"})
        nothing = replace(options, dbt_args=(*words, "--exclude", "*"), narrowed=True, steps=False)
        with open_session(nothing) as (project, engine, selected):
            return [*self.schemas(engine, selected, project.name, forge)]

    def schemas(
        self, engine: Engine, selected: Selected, project: str, forge: AskedForge | None = None
    ) -> Iterator[Schema]:
        """Each schema that looks like one of a pull request, and what becomes of it."""
        target = selected.target
        nodes = read_code(selected.manifest).resources.values()
        databases = {one.database for one in nodes if one.database and one.relation}
        databases |= {str(target["database"])}
        pattern = self.pattern(str(target["schema"]))
        now = SystemClock().now()
        for database, name, marker in engine.marked_schemas(sorted(databases), pattern, MARKER):
            said = dict(marker or {})
            why = self._kept(said, project, now)
            if not why and forge is not None:
                why = forge.keeps(said["pr"])
            fate = Fate.KEPT if why else Fate.CHOSEN
            if not why and self.yes:
                fate, why = _dropped(engine, database, name, said)
            yield Schema(
                database=database,
                name=name,
                pr=said.get("pr", ""),
                fate=fate,
                why=why or _built(said, now),
            )

    def pattern(self, schema: str) -> str:
        """The names of schemas of pull requests; a model's own schema comes behind."""
        parts = re.split(r"(\{schema\}|\{pr\})", self.schema)
        known = {"{schema}": re.escape(schema), "{pr}": _PR}
        return "".join(known.get(part, re.escape(part)) for part in parts) + "(_.*)?"

    def _kept(self, marker: dict[str, str], project: str, now: datetime) -> str:
        """Why a schema stays; empty where it is to go."""
        if not {"pr", "project", "built_at"} <= marker.keys():
            return f"it has no table {MARKER}, so dbtorch has not made it"
        if marker["project"] != project:
            return f"it is of project {marker['project']}"
        if self.prs and marker["pr"] not in self.prs:
            return f"it is of pull request {marker['pr']}"
        age = _age(marker, now)
        if self.older_than is not None and (age is None or age < self.older_than):
            return _built(marker, now)
        asked = self.prs or self.closed or self.older_than is not None
        return "" if asked else "nothing was asked to be dropped"


def _dropped(engine: Engine, database: str, name: str, said: dict[str, str]) -> tuple[Fate, str]:
    """Drop one; where the warehouse would not, the others are dropped all the same."""
    try:
        gone = engine.drop_marked(database, name, MARKER, said)
    except EngineError as error:
        return Fate.FAILED, str(error)
    return (Fate.DROPPED, "") if gone else (Fate.KEPT, "it was built in again meanwhile")


class AskedForge:
    """The forge whose CI this is, asked once for each pull request."""

    def __init__(self, environ: Mapping[str, str], pause: Callable[[float], None]) -> None:
        """Raises `UsageError` where nobody can be asked."""
        self._environ, self._pause = environ, pause
        self._known: dict[str, str] = {}
        self._down = ""  # why it is asked no more
        try:
            forge_of(environ, "1")
        except ForgeError as error:
            raise UsageError(f"--closed cannot ask which pull requests are open: {error}") from None

    def keeps(self, pr: str) -> str:
        """Why the schemas of a pull request stay; empty where it is closed."""
        if pr not in self._known and self._down:
            return f"nobody knows whether pull request {pr} is open: {self._down}"
        if pr not in self._known:
            try:
                is_open_ = is_open(forge_of(self._environ, pr), pause=self._pause)
                self._known[pr] = f"pull request {pr} is open" if is_open_ else ""
            except ForgeError as error:
                self._known[pr] = f"nobody knows whether pull request {pr} is open: {error}"
                self._down = str(error) if isinstance(error, ForgeDown) else ""
        return self._known[pr]


def _age(marker: dict[str, str], now: datetime) -> float | None:
    try:
        return (now - datetime.fromisoformat(marker["built_at"])).total_seconds()
    except (ValueError, TypeError):
        return None


def _built(marker: dict[str, str], now: datetime) -> str:
    if _age(marker, now) is None:
        return "nobody knows when it was built"
    return f"built {ago(datetime.fromisoformat(marker['built_at']), now)}"
