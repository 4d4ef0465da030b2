"""How much work a template may be, and the error that every one ends with that goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

#: Passes of loops, calls and numbers of ranges that one template may have: nothing else ends one
#: that is rendered in the process of a run.
_MOST_WORK = 500_000

#: Bits of a power, and characters or items of what is multiplied.
_LARGEST = 1_000_000


class TemplateError(Exception):
    """A template cannot be rendered; the text is one sentence that quotes it."""

    dbtorch_outcome = "code"  # what it means where it ends a step's process


class Budget(threading.local):
    """How much a thread's template may still do."""

    left = _MOST_WORK

    def renew(self) -> None:
        """Another template begins."""
        self.left = _MOST_WORK

    def spend(self, amount: int = 1) -> None:
        """Raises `TemplateError` where nothing is left."""
        self.left -= amount
        if self.left < 0:
            raise TemplateError(
                f"this template goes through more than {_MOST_WORK:,} loops and calls; "
                "do such work in a step"
            )


#: Of each thread.
budget = Budget()


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through."""
    for value in values:
        budget.spend()
        yield value


def counted_range(*ends: int) -> range:
    """The function ``range``; a filter may go through all of it."""
    numbers = range(*ends)
    budget.spend(min(len(numbers), _MOST_WORK) if numbers else 0)
    return numbers


def too_large(operator: str, left: Any, right: Any) -> bool:
    """Whether the result would take all time or memory there is."""
    if operator == "**":
        numbers = isinstance(left, int) and isinstance(right, int)
        return numbers and right > 0 and left.bit_length() * right > _LARGEST
    for one, times in ((left, right), (right, left)):
        if isinstance(one, (str, list, tuple)) and isinstance(times, int):
            return len(one) * times > _LARGEST
    return False
