"""What somebody probably meant who wrote something that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(
    text: str, known: Iterable[str], *, most: int = 1, quote: str = '"', before: str = "; "
) -> str:
    """``; did you mean "…"?`` with at most as many of the nearest; empty when none is near."""
    from difflib import get_close_matches  # only a mistake asks for it

    near = get_close_matches(text, list(known), n=most)
    named = " or ".join(f"{quote}{one}{quote}" for one in near)
    return f"{before}did you mean {named}?" if near else ""
