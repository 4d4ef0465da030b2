"""Regular expressions that somebody else has written, searched for in a time that is known.

Python's own engine tries every way in which ``(a|a)*b`` may match a text, which doubles with each
character, and nothing else of the process runs meanwhile: no Ctrl-C, no lease. Patterns that repeat
something are followed here in all ways at once, one character after the other.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

#: Characters of a text in which a repetition is looked for.
LONGEST = 4_000

#: Steps that a pattern may come to: ``(a{1000}){1000}`` is a million of them.
_MOST_STEPS = 2_000

#: Whether a character is one.
_Is: TypeAlias = Callable[[str], bool]
#: Whether something holds at a place of a text.
_Holds: TypeAlias = Callable[[str, int], bool]
#: A step: a character to take, a condition, or places to go on at. The last step is None.
_Step: TypeAlias = "tuple[str, Any] | None"

_MULTILINE, _DOTALL = re.MULTILINE, re.DOTALL


class PatternError(ValueError):
    """It cannot be looked for; half a sentence that says why."""


def says(pattern: str, text: str) -> bool:
    """Whether a text has this anywhere, in capitals or not. Raises `PatternError`."""
    program = _program(pattern)
    if program is None:
        return re.search(pattern, text, re.IGNORECASE) is not None
    return _search(program, text[:LONGEST])


def check_pattern(pattern: str) -> None:
    """Raise `PatternError` for what is no pattern, or cannot be followed in a known time."""
    try:
        _program(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(str(error)) from error


@lru_cache(maxsize=256)
def _program(pattern: str) -> list[_Step] | None:
    """Its steps; None for one that repeats nothing, which is searched for in no time."""
    re.compile(pattern, re.IGNORECASE)
    tree = importlib.import_module("re._parser").parse(pattern, re.IGNORECASE)
    if not _repeats(tree):
        return None
    writer = _Writer(tree.state.flags)
    writer.sequence(tree)
    writer.steps.append(None)
    return writer.steps


def _repeats(tree: Any) -> bool:
    """Whether a part of it may be there more than once, or refers to others."""
    for name, about in tree:
        kind = str(name)
        if kind.endswith("REPEAT") or kind in ("GROUPREF", "ASSERT", "ASSERT_NOT", "ATOMIC_GROUP"):
            return True
        if kind == "BRANCH" and any(map(_repeats, about[1])):
            return True
        if kind == "SUBPATTERN" and _repeats(about[3]):
            return True
    return False


class _Writer:
    """Writes the steps of a pattern."""

    def __init__(self, flags: int) -> None:
        self.steps: list[_Step] = []
        self._flags = flags

    def sequence(self, tree: Any) -> None:
        """Parts one after another."""
        for name, about in tree:
            self._part(str(name), about)
            if len(self.steps) > _MOST_STEPS:
                raise PatternError(f"it comes to more than {_MOST_STEPS:,} steps; write it shorter")

    def _part(self, kind: str, about: Any) -> None:
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            self.steps.append(("take", _one(kind, about, self._flags)))
        elif kind == "AT":
            self.steps.append(("if", _place(str(about), self._flags)))
        elif kind == "BRANCH":
            self._branches(about[1])
        elif kind == "SUBPATTERN":
            self._group(*about)
        elif kind in ("MAX_REPEAT", "MIN_REPEAT"):
            self._repeat(*about)
        else:
            raise PatternError(
                "it looks ahead or back, refers to a group, or repeats without giving back, which"
                " no message needs; leave that out"
            )

    def _group(self, _: Any, added: int, removed: int, tree: Any) -> None:
        before, self._flags = self._flags, (self._flags | added) & ~removed
        self.sequence(tree)
        self._flags = before

    def _branches(self, trees: list[Any]) -> None:
        ends = []
        for tree in trees[:-1]:
            fork = self._room()
            self.sequence(tree)
            ends.append(self._room())
            self.steps[fork] = ("go", (fork + 1, len(self.steps)))
        self.sequence(trees[-1])
        for end in ends:
            self.steps[end] = ("go", (len(self.steps),))

    def _repeat(self, least: int, most: Any, tree: Any) -> None:
        for _ in range(least):
            self._copy(tree)
        if str(most) == "MAXREPEAT":
            start = self._room()
            self._copy(tree)
            self.steps.append(("go", (start,)))
            self.steps[start] = ("go", (start + 1, len(self.steps)))
            return
        forks = []
        for _ in range(most - least):
            forks.append(self._room())
            self._copy(tree)
        for fork in forks:
            self.steps[fork] = ("go", (fork + 1, len(self.steps)))

    def _copy(self, tree: Any) -> None:
        self.sequence(tree)
        if len(self.steps) > _MOST_STEPS:
            raise PatternError(f"it comes to more than {_MOST_STEPS:,} steps; write it shorter")

    def _room(self) -> int:
        """Place of a step that is known later."""
        self.steps.append(None)
        return len(self.steps) - 1


def _search(steps: list[_Step], text: str) -> bool:
    """Whether some way through the steps ends somewhere in the text."""
    last = len(steps) - 1
    at: list[int] = []
    for place in range(len(text) + 1):
        found = _reached(steps, [*at, 0], text, place)
        if last in found:
            return True
        if place == len(text):
            break
        character = text[place]
        at = [
            number + 1
            for number in found
            if (step := steps[number]) is not None and step[0] == "take" and step[1](character)
        ]
    return False


def _reached(steps: list[_Step], start: Iterable[int], text: str, place: int) -> dict[int, None]:
    """Steps that are come to without taking a character."""
    found: dict[int, None] = {}
    left = list(start)
    while left:
        number = left.pop()
        if number in found:
            continue
        found[number] = None
        step = steps[number]
        if step is None or step[0] == "take":
            continue
        if step[0] == "go":
            left.extend(step[1])
        elif step[1](text, place):
            left.append(number + 1)
    return found


# ------------------------------------------------------------------------ characters and places


def _one(kind: str, about: Any, flags: int) -> _Is:
    """Whether a character is what a part of the pattern names; capitals make no difference."""
    if kind == "ANY":
        return (lambda _: True) if flags & _DOTALL else (lambda character: character != "\n")
    if kind in ("LITERAL", "NOT_LITERAL"):
        about = [(kind, about)]
    items = [(str(name), value) for name, value in about]
    negated = bool(items) and items[0][0] in ("NEGATE", "NOT_LITERAL")
    tests = [_item(name.removeprefix("NOT_"), value) for name, value in items if name != "NEGATE"]

    def is_one(character: str) -> bool:
        written = {character, *_other(character)}
        return any(test(one) for test in tests for one in written) is not negated

    return is_one


def _other(character: str) -> tuple[str, str]:
    return character.lower(), character.upper()


def _item(name: str, value: Any) -> _Is:
    if name == "LITERAL":
        return lambda character: ord(character) == value if len(character) == 1 else False
    if name == "RANGE":
        low, high = value
        return lambda character: low <= ord(character) <= high if len(character) == 1 else False
    return _category(str(value))


def _category(name: str) -> _Is:
    name = name.removeprefix("CATEGORY_")
    kinds: dict[str, _Is] = {
        "DIGIT": str.isdecimal,
        "SPACE": str.isspace,
        "WORD": _is_word,
    }
    found = kinds[name.removeprefix("NOT_")]
    return (lambda character: not found(character)) if name.startswith("NOT_") else found


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _place(name: str, flags: int) -> _Holds:
    lines = bool(flags & _MULTILINE)
    places: dict[str, _Holds] = {
        "AT_BEGINNING": lambda text, at: at == 0 or (lines and text[at - 1] == "\n"),
        "AT_BEGINNING_STRING": lambda _, at: at == 0,
        "AT_END": lambda text, at: (
            at == len(text) or (text[at] == "\n" and (lines or at == len(text) - 1))
        ),
        "AT_END_STRING": lambda text, at: at == len(text),
        "AT_BOUNDARY": _is_boundary,
        "AT_NON_BOUNDARY": lambda text, at: bool(text) and not _is_boundary(text, at),
    }
    return places[name]


def _is_boundary(text: str, at: int) -> bool:
    before = at > 0 and _is_word(text[at - 1])
    return before is not (at < len(text) and _is_word(text[at]))
