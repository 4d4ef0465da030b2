"""Why a node is in its state: a value that programs compare, and the sentence that people read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ReasonKind(StrEnum):
    """What it comes from. Sentences may change, these words do not."""

    NONE = ""  # there is none
    OTHER = "other"  # a sentence alone: an older dbtorch kept nothing else
    MESSAGE = "message"  # what its attempt said
    TIMEOUT = "timeout"  # its attempt took longer than it may
    LOST = "lost"  # what ran its attempt was gone, and did not report it
    SUPERVISOR_LOST = "supervisor_lost"  # the supervisor was gone before its attempt ended
    NOT_EXECUTED = "not_executed"  # it was handed to dbt and not executed: it waits as before
    UPSTREAM_FAILED = "upstream_failed"  # the node it names failed
    UPSTREAM_SKIPPED = "upstream_skipped"  # the node it names was skipped
    UPSTREAM_CANCELLED = "upstream_cancelled"  # the node it names was cancelled
    NOT_FRESH = "not_fresh"  # the source it names is not fresh
    FAIL_FAST = "fail_fast"  # another node failed, under --fail-fast
    HOOK_FAILED = "hook_failed"  # an earlier hook failed
    NOT_NEEDED = "not_needed"  # of dbt's session: no node was left for it
    NOT_RUN = "not_run"  # of a hook: dbt's session did not run it
    SESSION_ENDED = "session_ended"  # of a hook: dbt's session ended before it did
    NODE_CANCELLED = "node_cancelled"  # somebody cancelled it, or what it depends on
    RUN_CANCELLED = "run_cancelled"  # somebody cancelled the run
    SIGNAL = "signal"  # the run got a signal
    LEASE_LOST = "lease_lost"  # the run could not keep its pipeline to itself
    DEADLINE = "deadline"  # the run missed its deadline
    CODE_CHANGED = "code_changed"  # it succeeded with other code, and runs again
    CONTRADICTED = "contradicted"  # dbt said that the nodes it names ended well, and did otherwise
    RELATION_GONE = "relation_gone"  # it succeeded, its relation is not there, and it runs again
    UPSTREAM_RUNS_AGAIN = "upstream_runs_again"  # the node it names runs again, and so does it
    FEEDS_STALE = "feeds_stale"  # of a step: the source it names, which it fills, was not fresh
    REQUESTED = "requested"  # somebody wants it to run again
    REMOVED = "removed"  # it is no longer part of the run
    MARKED = "marked"  # a person said how it stands


#: For people; ``{node}`` is the first one that is named, ``{text}`` what belongs to it.
_SENTENCES = {
    ReasonKind.NONE: "",
    ReasonKind.TIMEOUT: "timed out after {text}",
    ReasonKind.SUPERVISOR_LOST: "lost: the process of the run ({text}) was gone",
    ReasonKind.UPSTREAM_FAILED: "{node} failed",
    ReasonKind.UPSTREAM_SKIPPED: "{node} was skipped",
    ReasonKind.UPSTREAM_CANCELLED: "{node} was cancelled",
    ReasonKind.FAIL_FAST: "Skipping due to fail_fast",  # dbt's own words
    ReasonKind.HOOK_FAILED: "an earlier hook failed",
    ReasonKind.NOT_NEEDED: "no node was left to run",
    ReasonKind.NOT_RUN: "the session did not run it",
    ReasonKind.SESSION_ENDED: "the session ended before it did",
    ReasonKind.NODE_CANCELLED: "cancelled by {text}",
    ReasonKind.SIGNAL: "the run got {text}",
    ReasonKind.DEADLINE: "the run missed its deadline",
    ReasonKind.CODE_CHANGED: "changed since it succeeded: {text}",
    ReasonKind.RELATION_GONE: "its relation is not there any more",
    ReasonKind.UPSTREAM_RUNS_AGAIN: "{node} runs again",
    ReasonKind.FEEDS_STALE: "{node}, which it fills, was not fresh",
    ReasonKind.REQUESTED: "asked for: {text}",
    ReasonKind.REMOVED: "no longer part of the run",
    ReasonKind.MARKED: "marked {text}",
}

#: Kinds that blame the node they name.
_BLAMES = (
    ReasonKind.UPSTREAM_FAILED,
    ReasonKind.UPSTREAM_SKIPPED,
    ReasonKind.UPSTREAM_CANCELLED,
    ReasonKind.NOT_FRESH,
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node is in its state. ``str`` of it is the sentence; nothing reads that back."""

    kind: ReasonKind
    nodes: tuple[str, ...] = ()  # ids of the nodes that the kind speaks of
    text: str = ""  # what somebody else said, or what the sentence is about

    @classmethod
    def said(cls, text: str) -> Reason:
        """The reason of an attempt that says one itself, or none."""
        return cls(ReasonKind.MESSAGE, text=text) if text else NO_REASON

    @property
    def cause(self) -> str:
        """The id of the node to blame; empty where no other one is."""
        return self.nodes[0] if self.nodes and self.kind in _BLAMES else ""

    def __bool__(self) -> bool:
        return self.kind is not ReasonKind.NONE

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self, names: Mapping[str, str] = {}) -> str:
        """For people; ``names`` has what nodes are called whose ids say little, by id."""
        if self.kind is ReasonKind.RUN_CANCELLED:
            return "the run was cancelled" + (f" by {self.text}" if self.text else "")
        node = self.nodes[0] if self.nodes else "a node"
        words = _SENTENCES.get(self.kind, "{text}")
        return words.format(node=names.get(node, node), text=self.text)

    def as_json(self) -> dict[str, object]:
        """What every JSON with a reason has beside its sentence."""
        return {"reason_kind": self.kind.value or None, "reason_nodes": list(self.nodes)}


def asked_by(actor: str, why: str) -> str:
    """Who wanted it, and why: the text of a reason that came from a person."""
    return f"{actor}: {why}" if why else actor


NO_REASON = Reason(ReasonKind.NONE)
FAIL_FAST = Reason(ReasonKind.FAIL_FAST)
