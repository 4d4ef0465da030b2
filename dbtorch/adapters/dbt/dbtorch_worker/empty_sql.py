"""SQL in which there is nothing to execute."""

from __future__ import annotations

import re

#: What a step is told that has nothing to do; a warehouse may well say that it has done that.
RENDERED_TO_NOTHING = (
    "the sql rendered to nothing (it is blank or holds only comments), so nothing was executed; "
    "where there may be nothing to do, say so with `when`"
)

#: A comment; MySQL executes those that begin with ``/*!``.
_COMMENT = re.compile(r"--[^\n]*|/\*(?!!).*?\*/", re.DOTALL)


class NothingToExecute(SyntaxError):
    """A step's SQL rendered to nothing."""


def is_nothing(sql: str) -> bool:
    """Whether there is no statement in it: it is blank, or comments and semicolons."""
    return not _COMMENT.sub("", sql).strip("; \t\r\n\f")
