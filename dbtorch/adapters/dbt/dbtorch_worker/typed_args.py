"""A call of dbt as somebody would have typed it."""

from __future__ import annotations

from collections.abc import Sequence

#: Options of several words.
_MANY = ("--select", "--exclude", "--resource-type", "--exclude-resource-type")


def typed_words(asked: Sequence[str]) -> list[str]:
    """Its words: of ``--select a --select b`` that is ``--select a b``."""
    words, option = ["dbt", "build"], ""
    for word in asked:
        if not (word == option and word in _MANY):
            words.append(word)
        option = word if word.startswith("-") else option
    return words


def typed(asked: Sequence[str]) -> str:
    """All of it, as artifacts have it."""
    return " ".join(typed_words(asked))
