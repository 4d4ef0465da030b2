"""Who is told what there is to say while something goes on."""

from __future__ import annotations

from collections.abc import Callable

#: Is told a sentence.
Tell = Callable[[str], None]


def nobody(_: str) -> None:
    """Nobody listens."""
