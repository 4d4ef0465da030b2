"""A result as findings at files: annotations of GitHub, and GitLab's code quality."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbtorch.core.ci.result import CiResult, NodeResult
from dbtorch.core.ci.words import difference
from dbtorch.core.failures.message import one_line
from dbtorch.core.model.state import State

#: GitHub shows so many annotations of a level, and drops the rest.
MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to look at."""

    level: str  # error, warning, notice
    node: str
    path: str  # in the repository; empty where nobody knows
    text: str
    line: int = 0  # 1 is the first; 0 where nobody knows
    rule: str = ""  # of lint
    id: str = ""  # of the node


def findings(result: CiResult) -> list[Finding]:
    """What failed, what warns and what differs, in this order; paths are of the project."""
    return [*_findings(result)]


def commands(found: Iterable[Finding]) -> str:
    """Commands to a runner of GitHub, ten of a level at most."""
    left = {"error": MOST, "warning": MOST, "notice": MOST}
    lines = []
    for one in found:
        left[one.level] -= 1
        if left[one.level] < 0:
            continue
        at = f"file={_property(one.path)},line={one.line or 1}," if one.path else ""
        lines.append(
            f"::{one.level} {at}title={_property(one.node or one.rule)}::{_data(one.text)}"
        )
    return "".join(f"{line}\n" for line in lines)


def code_quality(found: Iterable[Finding]) -> str:
    """A report of GitLab's code quality; it has places only, so what has no file is left out."""
    severity = {"error": "critical", "warning": "minor", "notice": "info"}
    said = [
        {
            "description": one.text,
            "check_name": f"dbtorch {one.rule or one.level}",
            "fingerprint": hashlib.sha256(
                f"{one.level} {one.rule} {one.node} {one.path}".encode()
            ).hexdigest(),
            "severity": severity[one.level],
            "location": {"path": one.path, "lines": {"begin": one.line or 1}},
        }
        for one in found
        if one.path
    ]
    return json.dumps(said, indent=2) + "\n"


def _findings(result: CiResult) -> Iterator[Finding]:
    for node in result.failed:
        yield _finding("error", node, one_line(node.message))
    for node in result.nodes:
        if node.state is State.WARN:
            yield _finding("warning", node, one_line(node.message))
    known = {node.id: node for node in result.nodes}
    for one in result.different:
        text = f"other than in production: {difference(one)}"
        if one.id in known:
            yield _finding("notice", known[one.id], text)
        else:
            yield Finding(level="notice", node=one.name, path="", text=text, id=one.id)


def _finding(level: str, node: NodeResult, text: str) -> Finding:
    return Finding(
        level=level, node=node.name, path=node.path, text=text, line=node.line, id=node.id
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
