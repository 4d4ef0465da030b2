"""What a run was started by: kept with it, and told to its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class CauseKind(StrEnum):
    """Who, or what, wanted a run."""

    MANUAL = "manual"  # somebody ran it
    SCHEDULE = "schedule"  # it was due
    TRIGGER = "trigger"  # `dbtorch trigger`
    WEBHOOK = "webhook"  # a request that `serve` received
    PIPELINE = "pipeline"  # another pipeline ended
    SOURCE = "source"  # a source became fresher
    ASSET = "asset"  # a node was updated
    FILE = "file"  # files appeared
    SQL = "sql"  # a query's answer changed
    HTTP = "http"  # a server's answer changed
    BACKFILL = "backfill"  # the past is run again
    SEVERAL = "several"  # more than one of these together


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a run was started by."""

    kind: CauseKind
    text: str = ""  # for people: "pipeline staging ended: success"
    by: str = ""  # user@host, or the address of who sent a request
    key: str = ""  # idempotency key; of a pipeline each key starts one run
    params: Mapping[str, Any] = field(default_factory=dict)  # that the run is given

    def as_json(self) -> dict[str, Any]:
        """As the history has it, and everybody is told; without the parameters."""
        said = {"kind": self.kind.value, "text": self.text, "by": self.by, "key": self.key}
        return {name: value for name, value in said.items() if value}

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {**self.as_json(), **({"params": dict(self.params)} if self.params else {})}

    def __str__(self) -> str:
        return " ".join(filter(None, (self.text or self.kind, f"by {self.by}" if self.by else "")))


def cause_of(said: Mapping[str, Any]) -> Cause:
    """What `Cause.to_json` answered. Raises `ValueError` for what a newer dbtorch has written."""
    known = {name: said[name] for name in ("text", "by", "key", "params") if name in said}
    return Cause(kind=CauseKind(said["kind"]), **known)
