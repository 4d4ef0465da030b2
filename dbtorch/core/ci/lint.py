"""What a project could have and has not: tests, owners, runbooks. Rules that only look at names."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from dbtorch.core.ci.reports.findings import Finding
from dbtorch.core.keys import key
from dbtorch.core.model.graph import LOOKERS, Kind, Node


class Level(StrEnum):
    """What a finding does."""

    IGNORE = "ignore"  # nobody looks for it
    WARN = "warn"  # it is told
    ERROR = "error"  # `dbtorch ci --lint` fails


@dataclass(frozen=True, slots=True, kw_only=True)
class LintSpec:
    """How much each rule weighs; each field is the name of its rule."""

    untested: Level = field(
        default=Level.WARN,
        metadata=key("Models without a test, a unit test or a check.", example="error"),
    )
    unowned: Level = field(
        default=Level.WARN,
        metadata=key(
            "What an exposure reads, and has no `owner`, group or folder that says whose it is.",
            example="error",
        ),
    )
    no_runbook: Level = field(
        default=Level.WARN,
        metadata=key("What an exposure reads, and has no `runbook`.", example="ignore"),
    )


_EXPOSED = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)


def style(
    nodes: Collection[Node],
    edges: Iterable[tuple[str, str]],
    spec: LintSpec,
    *,
    package: str,
    checked: Collection[str],
    runbook: str,
) -> Iterator[Finding]:
    """What the nodes of a package could have and have not, in the order of the nodes.

    Owners are filled in already; ``checked`` are ids of relations with checks of dbtorch's own,
    and ``runbook`` is that of whatever has none.
    """
    known = {node.id: node for node in nodes}
    tested, exposed = {*checked}, dict[str, list[str]]()
    for before, after in edges:
        kind = known[after].kind if after in known else None
        if kind in LOOKERS:
            tested.add(before)
        elif kind is Kind.EXPOSURE:
            exposed.setdefault(before, []).append(known[after].name)
    for node in nodes:
        if node.package != package or node.kind not in _EXPOSED:
            continue
        if node.kind is Kind.MODEL and node.id not in tested and node.materialized != "ephemeral":
            yield from _finding(spec, "untested", node, "has no test: add one, or a check")
        by = ", ".join(sorted(exposed.get(node.id, ())))
        if by and not node.owner:
            said = f"is read by {by}, and nobody owns it: give it meta.dbtorch.owner or a group"
            yield from _finding(spec, "unowned", node, said)
        if by and not (node.runbook or runbook):
            said = f"is read by {by}, and has no runbook: give it meta.dbtorch.runbook"
            yield from _finding(spec, "no_runbook", node, said)


def _finding(spec: LintSpec, rule: str, node: Node, text: str) -> Iterator[Finding]:
    level: Level = getattr(spec, rule)
    if level is not Level.IGNORE:
        yield Finding(
            level="error" if level is Level.ERROR else "warning",
            rule=rule,
            id=node.id,
            node=node.name,
            path=node.patch_path or node.path,
            text=f"{node.kind} {node.name} {text}",
        )
