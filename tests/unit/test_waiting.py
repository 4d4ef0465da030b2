"""A test that waits does so for an event, as long as a busy machine may take."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import PATIENCE

TESTS = Path(__file__).parents[1]

#: What must let time pass, and why.
MAY_SLEEP = {
    "waiting.py": "it looks again and again",
    "serving/run.py": "it is a run that takes its time, which servers do not wait for",
    "chaos/server.py": "it says why, when a server does not come",
    "chaos/disturbance.py": "random moments of the benchmark; the suite's are events",
}

#: Calls that give up after so many seconds.
_GIVE_UP = {"wait", "join", "get", "communicate", "run", "eventually", "ended", "select", "acquire"}

#: Seconds that a call may give up after where it is to give up, and those that are for ever.
_AT_ONCE, _LONG = 0.1, PATIENCE


def test_no_test_waits_for_a_while_and_hopes() -> None:
    found = [
        f"{path}:{call.lineno}: time.sleep"
        for path, call in calls()
        if ast.unparse(call.func) == "time.sleep" and path not in MAY_SLEEP
    ]
    assert found == []


def test_no_test_gives_up_soon() -> None:
    found = [
        f"{path}:{call.lineno}: {ast.unparse(call)}"
        for path, call in calls()
        if _name(call) in _GIVE_UP
        for seconds in _seconds(call)
        if _AT_ONCE < seconds < _LONG
    ]
    assert found == []


def test_no_shell_starts_something_to_say_that_it_waits() -> None:
    """Dash loses a signal that comes before its `vfork` has returned: ``: > ready`` needs none."""
    found = [
        f"{path}: {match[0]}"
        for path, text in sources()
        for match in re.finditer(r"touch [\w{}.-]+ ?[;\n]\s*wait\b", text)
    ]
    assert found == []


def sources() -> Iterator[tuple[str, str]]:
    """Every file of the tests."""
    for path in sorted(TESTS.rglob("*.py")):
        yield path.relative_to(TESTS).as_posix(), path.read_text(encoding="utf-8")


@functools.cache
def calls() -> list[tuple[str, ast.Call]]:
    """Every call in the tests, and the file it is in."""
    return [
        (path, node)
        for path, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
    ]


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _seconds(call: ast.Call) -> Iterator[float]:
    given = [one.value for one in call.keywords if one.arg in ("timeout", "seconds")]
    if _name(call) in ("wait", "join"):
        given += call.args[:1]
    for value in given:
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
            yield value.value
