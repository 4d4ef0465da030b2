"""Schemas of pull requests, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of a schema."""

    KEPT = "kept"
    CHOSEN = "would be dropped"
    DROPPED = "dropped"
    FAILED = "not dropped"  # the warehouse would not


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A schema that has the name of one of a pull request."""

    database: str
    name: str
    pr: str  # empty where nobody knows
    fate: Fate
    why: str
