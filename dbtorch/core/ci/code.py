"""What a manifest says of each resource that may change between two commits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbtorch.core.model.graph import Kind

#: A piece of SQL with Jinja, in the order they are tried.
_PIECE = re.compile(
    r"""
    (?P<jinja_comment>\{\#.*?\#\})
  | (?P<line_comment>--[^\n]*)
  | (?P<block_comment>/\*.*?\*/)
  | (?P<space>\s+)
  | (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`[^`]*`)
  | (?P<word>\w+)
  | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_COMMENTS = ("jinja_comment", "line_comment", "block_comment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A node of dbt, as far as its change matters."""

    id: str
    kind: Kind
    name: str
    path: str = ""  # relative to the project
    checksum: str = ""  # of its file
    code: str = ""  # as written; empty for a seed
    language: str = "sql"
    config: Mapping[str, Any] = field(default_factory=dict)  # as written, not rendered
    contract: str = ""  # checksum of an enforced contract
    description: str = ""
    macros: tuple[str, ...] = ()  # ids, direct ones
    parents: tuple[str, ...] = ()  # ids, direct ones
    relation: str = ""  # as SQL names it; empty where there is none
    identifier: str = ""  # its name in its schema
    schema: str = ""
    database: str = ""
    materialized: str = ""
    key: tuple[str, ...] = ()  # columns of its primary key
    owner: str = ""
    about: tuple[str, str] = ("", "")  # of a test: node and column that it is described with

    @property
    def place(self) -> tuple[str, str, str]:
        """Database, schema and name."""
        return self.database, self.schema, self.identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table that dbt reads and does not build."""

    id: str
    name: str
    relation: str = ""  # as SQL names it
    identifier: str = ""  # its name in its schema
    schema: str = ""
    database: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)  # declared ones -> type, if it is

    @property
    def place(self) -> tuple[str, str, str]:
        """Database, schema and name."""
        return self.database, self.schema, self.identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Macro:
    """A macro: what it says, and which others it calls."""

    code: str
    macros: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of a project."""

    resources: Mapping[str, Resource]
    macros: Mapping[str, Macro]
    sources: Mapping[str, Source] = field(default_factory=dict)
    disabled: Mapping[str, Resource] = field(default_factory=dict)
    project: str = ""  # its name; empty where nobody knows


def same_logic(one: str, other: str, *, language: str = "sql") -> bool:
    """Whether two texts differ in comments and formatting alone.

    False where nobody can tell: of Python, and of a text with dollar quotes.
    """
    if one == other:
        return True
    if language != "sql" or "$$" in one or "$$" in other:
        return False
    return list(_pieces(one)) == list(_pieces(other))


def _pieces(text: str) -> Iterator[str]:
    """What counts of a text: a comment only where Jinja or the warehouse reads it."""
    for found in _PIECE.finditer(text):
        kind, piece = found.lastgroup, found.group()
        if kind == "space":
            continue
        read = "{{" in piece or "{%" in piece or piece.startswith("/*+")
        if kind not in _COMMENTS or (kind != "jinja_comment" and read):
            yield piece
