"""What is wrong with a configuration: one sentence per problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

#: Keys and list positions from the top of a document down to a value.
Path = tuple[str | int, ...]

_SHOWN = 60  # characters of a wrong value that are repeated to the user


class ConfigError(Exception):
    """The configuration is wrong. ``problems`` has one sentence each: file, line, what, what to do."""  # noqa: E501

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Refused(ValueError):
    """A value is not accepted. The text says what is, or with ``complete`` what is wrong."""

    def __init__(self, text: str, *, complete: bool = False) -> None:
        self.complete = complete
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place in a document."""

    at: Path
    text: str


@dataclass(slots=True)
class Report:
    """Collects problems, so that a user sees all of them at once."""

    name: Callable[[Path], str]  # what a place is called in a sentence
    problems: list[Problem] = field(default_factory=list)

    def add(self, at: Path, text: str) -> None:
        """Note a problem whose sentence is complete."""
        self.problems.append(Problem(at, text))

    def wrong(self, at: Path, text: str) -> None:
        """Note a problem whose sentence begins with the name of its place."""
        self.add(at, f"{self.name(at) or 'the file'} {text}")

    def unknown(self, at: Path, key: str, known: Collection[str]) -> None:
        """Note a key that is not among the known ones."""
        hint = suggestion(key, known) or f"keys here are {', '.join(known)}"
        self.add((*at, key), f"unknown key {shown(key)} {self._inside(at)}; {hint}")

    def _inside(self, at: Path) -> str:
        return f"in {self.name(at)}" if self.name(at) else "at the top level"


def dotted(at: Path) -> str:
    """``("steps", "load", "after", 0)`` as a user would write it: ``steps.load.after[0]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at)
    return text.removeprefix(".")


def suggestion(word: str, known: Collection[str]) -> str:
    """``did you mean "…"?`` with the nearest known word; empty when none is near."""
    plain = word.strip().lower().replace("-", "_")[:100]
    from difflib import get_close_matches  # only a mistake asks for it

    near = get_close_matches(plain, known, n=1)
    if not near and len(plain) >= 3:
        near = [other for other in known if plain in other]
    return f'did you mean "{near[0]}"?' if near else ""


def shown(value: Any) -> str:
    """A wrong value as it is repeated to the user, in one short line."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value, ensure_ascii=True, default=str) if value is not True else "true"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
