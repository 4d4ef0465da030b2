"""Looks at one condition, whatever it is about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dbtorch.adapters.conditions.unknown import Unknown
from dbtorch.adapters.template import render
from dbtorch.adapters.template_limits import TemplateError
from dbtorch.core.config import Config
from dbtorch.core.errors import DbtorchError
from dbtorch.core.model.identity import Identity
from dbtorch.core.schedule.assets import node_id
from dbtorch.core.schedule.cause import CauseKind
from dbtorch.core.schedule.condition import Condition
from dbtorch.core.schedule.ledger import Happened, ScheduleKey
from dbtorch.core.schedule.news import Observation
from dbtorch.core.text.moments import shown
from dbtorch.ports.store import Store
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project
from dbtorch.service.schedule.timetable import key_of

#: Renders what stands in a condition.
Render = Callable[[Any], Any]


@dataclass(slots=True, kw_only=True)
class Looker:
    """Looks at conditions; may be asked by several threads at once."""

    project: Project
    store: Store  # that waits for nobody else's use of it
    environ: Mapping[str, str]
    database: Callable[[], AbstractContextManager[object]] = nullcontext  # may raise `Busy`
    _files: dict[str, Any] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def look(
        self,
        one: Condition,
        place: str,
        *,
        target: str | None = None,
        rendered: Render | None = None,
        since: datetime | None = None,
    ) -> Observation:
        """What there is now, where a target builds. Raises `Unknown`, `Busy`.

        ``rendered`` fills in templates. Of what happened only what did ``since`` then holds.
        """
        fill = rendered or self._rendered
        try:
            match one.kind:
                case CauseKind.PIPELINE:
                    return _since(self._pipeline(one), since)
                case CauseKind.ASSET:
                    return _since(self._asset(one, place), since)
                case CauseKind.FILE:
                    return self._file(one, str(fill(one.file)), place)
                case CauseKind.HTTP:
                    return _http(one, fill)
                case CauseKind.SQL | CauseKind.SOURCE:
                    return self._warehouse(one, target, fill)
        except TemplateError as error:
            raise Unknown(str(error)) from None
        except DbtorchError as error:  # the history does not answer
            raise Unknown(str(error)) from None
        raise Unknown(f"{one} cannot be looked at here")

    def _rendered(self, template: Any) -> Any:
        return render(template, env=self.environ, vars={}, run={}, outputs={})

    def _pipeline(self, one: Condition) -> Observation:
        config, identity = self.project.config, self.store.identity
        found = self.store.last_end(_key(config, identity, one.pipeline), one.states)
        return _happened(found, f"pipeline {one.pipeline} ended")

    def _asset(self, one: Condition, place: str) -> Observation:
        found = self.store.last_update(place, node_id(one.asset, self.project.name))
        return _happened(found, f"{one.asset} was updated")

    def _warehouse(self, one: Condition, target: str | None, fill: Render) -> Observation:
        from dbtorch.service.conditions.warehouse import look_source, look_sql

        with self.database():
            if one.sql:
                return look_sql(self.project, one.sql, target, self.environ)
            return look_source(self.project, str(fill(one.source)), target, self.environ)

    def _file(self, one: Condition, what: str, place: str) -> Observation:
        from dbtorch.adapters.conditions.files import FileLooks

        with self._lock:
            key = f"{place} {one.key}"
            looks = self._files.setdefault(key, FileLooks(base=self.project.dir))
        found: Observation = looks.look(what, stable=one.stable, marker=one.marker)
        return found


def _key(config: Config, identity: Identity, pipeline: str) -> ScheduleKey:
    return key_of(pipeline_of(config, RunOptions(pipeline=pipeline)), identity)


def _happened(found: Happened | None, what: str) -> Observation:
    if found is None:
        return Observation(words="")
    text = f"{what}: {found.state}, run {found.run_id}, {shown(found.at)}"
    return Observation(words=f"{found.run_id}@{found.at.isoformat()}", text=text, at=found.at)


def _since(found: Observation, since: datetime | None) -> Observation:
    late_enough = since is None or (found.at is not None and found.at >= since)
    return found if late_enough else Observation(words="", text=found.text, at=found.at)


def _http(one: Condition, fill: Render) -> Observation:
    from dbtorch.adapters.conditions.http import look

    said = dict(one.http or {})
    until = said.pop("until", None)  # speaks of an answer
    return look({**fill(said), **({"until": until} if until else {})})
