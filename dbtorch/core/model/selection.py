"""Selections taken apart: what dbt is asked for, and which steps and checks are named.

dbt reads selections, and knows nothing of steps. So what names a step is put into dbt's words here,
before dbt sees any: the sources that it produces, and what it comes after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from dbtorch.core.errors import SelectionError
from dbtorch.core.text.nearest import did_you_mean

if TYPE_CHECKING:
    from dbtorch.core.config import StepSpec

STEP, CHECK = "step", "check"

_Follow: TypeAlias = Callable[[str], Iterable[str]]

#: As deep as it goes.
_ALL = 10**9

#: What selects nothing of dbt's, without a warning that it does.
NOTHING = ("--select", "fqn:*", "--exclude", "fqn:*")

#: One criterion, as dbt reads it (`SelectionCriteria`).
_CRITERION = re.compile(
    r"(?P<at>@)?(?:(?P<up>\d*)\+)?(?:(?P<method>[\w.]+):)?(?P<value>.*?)(?:\+(?P<down>\d*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What selections come to."""

    dbt: tuple[str, ...] = ()  # for dbt to read
    steps: frozenset[str] = frozenset()  # names of steps
    reached: frozenset[str] = frozenset()  # steps that only an operator leads on to
    checks: tuple[str, ...] = ()  # names, or patterns of names, of what checks look at


@dataclass(frozen=True, slots=True)
class _Criterion:
    """One criterion: a method, a value, and how far to go from there."""

    text: str
    at: bool
    up: int
    method: str
    value: str
    down: int

    @classmethod
    def of(cls, text: str) -> _Criterion:
        found = _CRITERION.fullmatch(text)
        if found is None:  # a line break, of which dbt will say something
            return cls(text, False, 0, "", text, 0)
        method, value = found["method"] or "", found["value"]
        return cls(text, bool(found["at"]), _deep(found["up"]), method, value, _deep(found["down"]))


def _deep(said: str | None) -> int:
    return 0 if said is None else int(said[:9]) if said else _ALL


def take_apart(
    texts: Iterable[str], steps: Mapping[str, StepSpec], *, sources: bool = False
) -> Chosen:
    """Selections, each a union of intersections as in dbt. Raises `SelectionError`.

    With ``sources`` a step stands for the sources that it produces as well.
    """
    dbt: dict[str, None] = {}
    named: set[str] = set()
    reached: set[str] = set()
    checks: list[str] = []
    for term in (term for text in texts for term in text.split(" ") if term):
        found = _term(term, steps, sources=sources)
        dbt.update(dict.fromkeys(found.dbt))
        named |= found.steps
        reached |= found.reached
        checks += found.checks
    return Chosen(
        dbt=tuple(dbt),
        steps=frozenset(named),
        reached=frozenset(reached - named),
        checks=tuple(checks),
    )


def step_named(text: str, steps: Mapping[str, StepSpec]) -> str | None:
    """The name of the step that `after` names; None when dbt has to say what it means."""
    name = text.removeprefix(f"{STEP}:").removeprefix(f"{STEP}.")
    return name if name in steps and (name != text or ":" not in text) else None


def _term(term: str, steps: Mapping[str, StepSpec], *, sources: bool) -> Chosen:
    """An intersection, of which each part is dbt's or ours."""
    parts = [_Criterion.of(text) for text in term.split(",")]
    if not any(part.method in (STEP, CHECK) for part in parts):
        return Chosen(dbt=(term,))
    if any(part.method == CHECK for part in parts):
        return _check(term, parts)
    found = [_part(part, steps, sources=sources) for part in parts]
    together = Chosen(
        dbt=tuple(",".join(one) for one in product(*(part.dbt for part in found))),
        steps=frozenset.intersection(*(part.steps for part in found)),
        reached=frozenset.intersection(*(part.steps | part.reached for part in found)),
    )
    if not (together.dbt or together.steps or together.reached):
        raise SelectionError(
            f'"{term}" can match nothing: a step alone has nothing in common with anything else'
            f" (a space instead of the comma selects both)"
        )
    return together


def _check(term: str, parts: list[_Criterion]) -> Chosen:
    part = parts[0]
    if len(parts) > 1 or part.at or part.up or part.down or not part.value:
        raise SelectionError(
            f'"{term}" cannot be read: a check is {CHECK}:<name>, without commas and without +'
        )
    return Chosen(checks=(part.value,))


def _part(part: _Criterion, steps: Mapping[str, StepSpec], *, sources: bool) -> Chosen:
    if part.method != STEP:
        return Chosen(dbt=(part.text,))
    names = [name for name in steps if fnmatchcase(name, part.value)]
    if not names:
        known = [f"{STEP}:{name}" for name in steps]
        hint = did_you_mean(f"{STEP}:{part.value}", known) or (
            f" (there is: {', '.join(steps)})" if steps else "; dbtorch.yml has no steps"
        )
        raise SelectionError(f'"{part.text}" names no step{hint}')
    walk = _Walk(steps, part.text)
    before, after = set(names), set[str]()
    for name in names:
        if sources:
            walk.produced(name, "", 0)
        after |= walk.down(name, _ALL if part.at else part.down, "@" if part.at else "")
    for name in {*names, *after} if part.at else names:
        before |= walk.up(name, _ALL if part.at else part.up)
    return Chosen(dbt=tuple(walk.dbt), steps=frozenset(before), reached=frozenset(after - before))


class _Walk:
    """From a step along what it produces and what it comes after."""

    def __init__(self, steps: Mapping[str, StepSpec], asked: str) -> None:
        self._steps = steps
        self._asked = asked
        self.dbt: dict[str, None] = {}

    def down(self, name: str, depth: int, prefix: str) -> set[str]:
        """Add its sources and what reads them; answers the steps that follow it."""
        near = self._near(name, depth, self._followers)
        for found, away in near.items():
            if away < depth:
                self.produced(found, prefix, depth - away - 1)
        return near.keys() - {name}

    def up(self, name: str, depth: int) -> set[str]:
        """Add dbt's nodes before it, with all before them; answers the steps before it."""
        near = self._near(name, depth, self._leaders)
        for found, away in near.items():
            for text in self._steps[found].after if away < depth else ():
                if step_named(text, self._steps) is None:
                    self._add(found, text, "comes after", up=depth - away - 1)
        return near.keys() - {name}

    def produced(self, name: str, prefix: str, depth: int) -> None:
        """The sources of a step, and what comes after them."""
        for text in self._steps[name].produces:
            self._add(name, text, "produces", prefix=prefix, down=0 if prefix else depth)

    def _near(self, name: str, depth: int, following: _Follow) -> dict[str, int]:
        """Steps with how far away they are, itself first; a cycle is walked once."""
        found, ring = {name: 0}, [name]
        for away in range(1, min(depth, len(self._steps)) + 1):
            ring = list(dict.fromkeys(n for one in ring for n in following(one) if n not in found))
            found.update(dict.fromkeys(ring, away))
        return found

    def _followers(self, name: str) -> Iterator[str]:
        for other, spec in self._steps.items():
            if any(step_named(text, self._steps) == name for text in spec.after):
                yield other

    def _leaders(self, name: str) -> Iterator[str]:
        for text in self._steps[name].after:
            if (found := step_named(text, self._steps)) is not None:
                yield found

    def _add(
        self, name: str, text: str, verb: str, *, prefix: str = "", up: int = 0, down: int = 0
    ) -> None:
        for term in text.split():
            criterion = _Criterion.of(term)
            bare = not (criterion.at or criterion.up or criterion.down or "," in term)
            if ((prefix or up or down) and not bare) or criterion.method == "selector":
                raise SelectionError(
                    f'"{self._asked}" cannot be read: step {name} {verb} "{text}",'
                    f" from which + leads nowhere; select that by itself"
                )
            self.dbt[f"{prefix}{_before(up)}{term}{_after(down)}"] = None


def _before(depth: int) -> str:
    return "" if not depth else "+" if depth >= _ALL // 2 else f"{depth}+"


def _after(depth: int) -> str:
    return "" if not depth else "+" if depth >= _ALL // 2 else f"+{depth}"
