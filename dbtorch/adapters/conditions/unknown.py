"""What a look ends with that could not tell."""

from __future__ import annotations


class Busy(Exception):
    """It cannot be looked at this moment, and soon again."""


class Unknown(Exception):
    """Whether a condition holds cannot be told now; nothing follows from it. The text says why."""
