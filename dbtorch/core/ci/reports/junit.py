"""A result as JUnit XML, which every CI system shows."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from dbtorch.core.ci.result import CiResult, NodeResult
from dbtorch.core.model.state import State

#: Characters that XML cannot have.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_DONE = (State.SUCCESS, State.WARN, State.REUSED)


def junit(result: CiResult) -> str:
    """One suite; a case for each node. What did not run is skipped, what failed is a failure."""
    skipped = sum(1 for node in result.nodes if node.state not in (*_DONE, State.FAILED))
    head = (
        f'<testsuite name={_quoted(f"dbtorch ci {result.pr}")} tests="{len(result.nodes)}"'
        f' failures="{len(result.failed)}" errors="0" skipped="{skipped}"'
        f' time="{result.seconds or 0:.3f}">'
    )
    cases = "\n".join(map(_case, result.nodes))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f"<testsuites>\n{head}\n{cases}\n</testsuite>\n</testsuites>\n"
    )


def _case(node: NodeResult) -> str:
    said = (
        f"  <testcase classname={_quoted(str(node.kind))} name={_quoted(node.name)}"
        f' time="{node.seconds or 0:.3f}"'
    )
    said += f" file={_quoted(node.path)}" if node.path else ""
    if node.state in _DONE:
        return f"{said}/>"
    what = "failure" if node.state is State.FAILED else "skipped"
    first = node.message.split("\n", 1)[0]
    text = _cleaned(escape(node.message)) if what == "failure" else ""
    return f"{said}>\n    <{what} message={_quoted(first)}>{text}</{what}>\n  </testcase>"


def _quoted(text: str) -> str:
    return quoteattr(_cleaned(text))


def _cleaned(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
