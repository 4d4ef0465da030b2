"""What a YAML parser stumbled over, in words of our own: libyaml's and PyYAML's are for parsers."""

from __future__ import annotations

import yaml

_OPEN = "something that is begun is never closed: look for a missing quote, bracket or comma"

#: What is in a parser's text, and what a person has to look for; the first that fits counts.
_MEANT = (
    ("mapping values are not allowed", 'a ": " stands where none can be; put the text in quotes'),
    ("sequence entries are not allowed", 'a "- " stands where no list can begin'),
    ("':'", "a line is no `key: value`"),
    ("unexpected end of stream", "a quote is never closed"),
    ("document separator", "a quote is never closed"),
    ("',' or ']'", "a [ is never closed, or a comma is missing"),
    ("',' or '}'", "a { is never closed, or a comma is missing"),
    ("block end", "a line is indented otherwise than those around it"),
    ("did not find expected key", "a line is indented otherwise than those around it"),
    ("did not find expected '-' indicator", "a line is indented otherwise than those around it"),
    ("cannot start any token", "a text begins with a character that YAML keeps for itself;"
     " put it in quotes"),
    ("unknown escape character", "double quotes hold a \\ that means nothing; use single quotes"),
    ("alias", "an alias (*name) has no anchor (&name) before it"),
    ("anchor", "an anchor (&name) is given twice"),
    ("tag", "it has a tag (!name) that means nothing here"),
    ("expected the node content", _OPEN),
    ("document start", "it goes on after its end: a line is indented less than the first one"),
)  # fmt: skip


def meant(error: Exception) -> str:
    """What is wrong with a YAML text, and what to look for."""
    if not isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split())
    said = f"{getattr(error, 'problem', None) or error}"
    return next((text for part, text in _MEANT if part in said), _OPEN)
