"""Where a reader finds a page of the documentation.

`dbtorch docs` needs no network, and prints the page that fits the version.
"""

from __future__ import annotations


def address(page: str) -> str:
    """The command that prints a page, which everybody who has dbtorch has: ``docs/PAGE.md``."""
    return f"dbtorch docs {page}"
