"""What is wrong with a configuration: one sentence per problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from dbtorch.core.config import Origin
from dbtorch.core.text.nearest import did_you_mean

#: Keys and list positions from the top of a document down to a value.
Path = tuple[str | int, ...]

_SHOWN = 60  # characters of a wrong value that are repeated to the user


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place in a document."""

    at: Path
    text: str


@dataclass(slots=True)
class Report:
    """Collects problems, so that a user sees all of them at once; knows what surrounds a value."""

    name: Callable[[Path], str]  # what a place is called in a sentence
    where: Callable[[Path], Origin] = lambda _: Origin()  # it stands
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: File = File()  # that paths are relative to
    pools: Collection[str] | None = None  # that are defined; None: nobody knows
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
    if (near := did_you_mean(plain, known, before="")) or len(plain) < 3:
        return near
    longer = next((other for other in known if plain in other), "")
    return f'did you mean "{longer}"?' if longer else ""


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
