"""What is affected by a change: what reads what changed, near and far."""

from __future__ import annotations

from collections.abc import Iterator

from dbtorch.core.ci.changes import Changes
from dbtorch.core.ci.code import Code
from dbtorch.core.ci.result import Affected
from dbtorch.core.model.graph import Kind


def affected_by(now: Code, changes: Changes) -> Iterator[Affected]:
    """Everything behind what changed that did not change itself; tests affect nobody."""
    changed = {one.resource.id for one in changes.nodes if one.changed}
    children: dict[str, list[str]] = {}
    for one in now.resources.values():
        for parent in one.parents:
            children.setdefault(parent, []).append(one.id)
    found, waiting = dict.fromkeys(changed), [*changed]
    while waiting:
        for id in children.get(waiting.pop(), ()):
            if id not in found:
                found[id] = None
                waiting.append(id)
    for id in sorted(found.keys() - changed):
        one = now.resources[id]
        if one.kind not in (Kind.TEST, Kind.UNIT_TEST):
            yield Affected(id=id, name=one.name, kind=one.kind, owner=one.owner)
