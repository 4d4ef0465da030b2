"""The edge to the terminal: everything that a command prints goes through here."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

from dbtorch.cli.text.colour import colours_for
from dbtorch.core.failures.message import plain
from dbtorch.core.text.json_text import SCHEMA_VERSION, document, to_json

__all__ = ["SCHEMA_VERSION", "document", "echo", "encodable", "note", "shown", "to_json", "warn"]

#: The colours that dbtorch paints with, and their end.
_OURS = re.compile(r"(\x1b\[(?:0|1|2|3[1236])m)")
_END = "\x1b[0m"


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a line, or several, without anything that somebody else's text would order."""
    import click  # whoever reads the history without a terminal needs none

    stream: TextIO | None = sys.stderr if err else sys.stdout
    if stream is None:  # nobody listens
        return
    colours = colours_for(stream, os.environ).wanted
    said = _without_secrets(str(text)) if err else str(text)
    click.echo(encodable(shown(said, colours=colours), stream), err=err)


def note(text: str) -> None:
    """Print what is no output of the command."""
    echo(text, err=True)


def warn(text: str) -> None:
    """Print what nobody has to mend now."""
    echo(f"Warning: {text}", err=True)


def _without_secrets(text: str) -> str:
    """What went wrong may quote anything; all else was kept without secrets."""
    from dbtorch.service.project.known_secrets import scrubber_of_environment

    return scrubber_of_environment()(text)


def shown(text: str, *, colours: bool = False) -> str:
    """A text as a terminal may get it; with ``colours`` it keeps those of dbtorch."""
    if not colours or "\x1b" not in text:
        return plain(text)
    return "\n".join(map(_painted, text.split("\n")))


def _painted(line: str) -> str:
    """A line with our colours, which end with it at the latest."""
    parts = _OURS.split(line)
    ours = parts[1::2]
    parts[::2] = map(plain, parts[::2])
    return "".join(parts) + (_END if ours and ours[-1] != _END else "")


def encodable(text: str, stream: TextIO) -> str:
    """The text, with a question mark for what the stream's encoding does not know."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)
