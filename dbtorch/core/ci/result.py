"""What `dbtorch ci` has found: one value that every report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from dbtorch.core.ci.changes import Change
from dbtorch.core.ci.comparison import Comparison
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State

#: A node is slower than usual when it takes so many times as long, and so many seconds more.
_SLOWER, _BY = 1.5, 5.0

#: States of a node that nobody has to look at.
_FINE = (State.SUCCESS, State.WARN, State.REUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The state of production that a pull request is compared with."""

    url: str
    at: datetime  # when it was published
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeResult:
    """What became of a node."""

    id: str
    name: str
    kind: Kind
    state: State
    seconds: float | None = None
    usual: float | None = None  # seconds that it took in production
    message: str = ""
    path: str = ""
    line: int = 0  # of that file; 0 where nobody knows
    owner: str = ""

    @property
    def slower(self) -> bool:
        """Whether it took much longer than in production."""
        if self.seconds is None or self.usual is None:
            return False
        return self.seconds > self.usual * _SLOWER and self.seconds > self.usual + _BY


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A model beside production's."""

    id: str
    name: str
    comparison: Comparison | None = None
    note: str = ""  # why there is no comparison
    failed: bool = False  # there should be one


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAge:
    """How fresh a source is that something built reads."""

    id: str
    name: str
    status: str  # dbt's word: pass, warn, error; unknown where it could not be checked
    age: float | None = None  # seconds
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """What reads a model that is built, and is not built itself."""

    id: str
    name: str
    kind: Kind
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiResult:
    """Everything about one run for a pull request."""

    pr: str
    project: str
    schema: str
    commit: str
    target: str
    against: Against | None  # None: everything was built
    changes: tuple[Change, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()  # between nodes that are built or affected
    deleted: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()  # that changed
    run_id: str = ""
    link: str = ""  # to the run in a browser
    state: RunState = RunState.SUCCESS
    seconds: float | None = None
    nodes: tuple[NodeResult, ...] = ()
    compared: tuple[Compared, ...] = ()
    affected: tuple[Affected, ...] = ()
    sources: tuple[SourceAge, ...] = ()  # that were looked at
    cloned: tuple[str, ...] = ()  # names of models that began with production's rows
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether everything that was to be done is done."""
        return self.state is RunState.SUCCESS

    @property
    def empty(self) -> bool:
        """Whether there was nothing to build."""
        return not self.run_id

    @property
    def failed(self) -> tuple[NodeResult, ...]:
        """What went wrong itself, those that are on the pull request's own files first."""
        own = {one.resource.path for one in self.changes if one.changed}
        found = [node for node in self.nodes if node.state is State.FAILED]
        return tuple(sorted(found, key=lambda node: node.path not in own))

    @property
    def not_done(self) -> tuple[NodeResult, ...]:
        """What is neither done nor failed: skipped, cancelled, behind a failure."""
        return tuple(node for node in self.nodes if node.state not in (*_FINE, State.FAILED))

    @property
    def stale(self) -> tuple[SourceAge, ...]:
        """Sources that are not known to be fresh."""
        return tuple(one for one in self.sources if one.status != "pass")

    @property
    def different(self) -> tuple[Compared, ...]:
        """Models that are known to differ from production's."""
        return tuple(
            one
            for one in self.compared
            if one.comparison is not None and not one.comparison.same and _known(one.comparison)
        )

    def to_json(self) -> dict[str, Any]:
        """The result for programs; `docs/output.md` does not promise more than is here."""
        return {
            **{
                name: getattr(self, name)
                for name in ("pr", "project", "schema", "commit", "target")
            },
            "against": None if self.against is None else _dict(self.against),
            "changes": [_change(one) for one in self.changes],
            "deleted": list(self.deleted),
            "steps": list(self.steps),
            "run_id": self.run_id or None,
            "link": self.link or None,
            "state": str(self.state),
            "seconds": self.seconds,
            "nodes": [{**_dict(node), "slower": node.slower} for node in self.nodes],
            "compared": [_compared(one) for one in self.compared],
            "affected": [_dict(one) for one in self.affected],
            "sources": [_dict(one) for one in self.sources],
            "cloned": list(self.cloned),
            "notes": list(self.notes),
        }


def _known(found: Comparison) -> bool:
    """Whether something differs, and not only that nobody has looked."""
    schema = (found.columns_added, found.columns_removed, found.columns_retyped)
    rows = (found.rows_after != found.rows_before, found.added, found.removed, found.changed)
    return any(schema) or any(rows)


def _change(one: Change) -> dict[str, Any]:
    return {
        "id": one.resource.id,
        "name": one.resource.name,
        "kind": str(one.resource.kind),
        "path": one.resource.path,
        "formatting": one.formatting,
        "reasons": [
            {"why": str(reason.kind), "names": list(reason.names), "formatting": reason.formatting}
            for reason in one.reasons
        ],
    }


def _compared(one: Compared) -> dict[str, Any]:
    found = one.comparison
    said = None if found is None else {**_dict(found), "same": found.same}
    return {"id": one.id, "name": one.name, "note": one.note, "comparison": said}


def _dict(value: Any) -> dict[str, Any]:
    found: Mapping[str, Any] = asdict(value)
    return {
        name: said.isoformat() if isinstance(said, datetime) else said
        for name, said in found.items()
    }
