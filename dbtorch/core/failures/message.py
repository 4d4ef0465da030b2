"""Texts of others, made readable: whatever they hold, they give no orders to a terminal."""

from __future__ import annotations

import re
import textwrap

from dbtorch.core.failures.scrub import ODD, ORDER

#: Lines of a message that are shown, and characters of a line; all of it is in the attempt's log.
LINES = 12
WIDTH = 240

#: Characters of a message that are kept at all, and of those how many are its end.
MOST = 10_000
_END = 2_000

_SUSPECT = re.compile(f"[{ODD}]")
_BREAK = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")

#: "Database Error in model fct_orders (models/marts/fct_orders.sql)"
_DBT_HEADING = re.compile(r"[A-Z]\w+ Error(?: in .+\))?")


#: dbt's heading of a message that is about no node, on a line of its own.
_HEADING = re.compile(r"\A\w+ Error\n")


def sentence(error: BaseException) -> str:
    """What an error says that is nobody's bug; without dbt's heading, where that says nothing."""
    text = str(error).strip()
    rest = _HEADING.sub("", text)
    return text if rest == text else textwrap.dedent(rest).strip()


def plain(text: str) -> str:
    """A text without anything that a terminal would obey; other line breaks become its own."""
    if _SUSPECT.search(text) is None:
        return text
    return ORDER.sub("", _BREAK.sub("\n", text))


def one_line(text: str) -> str:
    """A name as it may stand within a line or a table, whatever somebody has put into it."""
    return plain(text).replace("\n", " ")


def brief(message: str) -> str:
    """A message as it is kept, sent and shown: of a huge one the beginning and the end."""
    if len(message) <= MOST:
        return message
    left_out = f"\n... {len(message) - MOST:,} characters are left out, the log has them ...\n"
    return f"{message[: MOST - _END]}{left_out}{message[-_END:]}"


def tidy(message: str) -> tuple[str, int]:
    """A message as a person reads it, and how many of its lines were left out."""
    lines = [line.rstrip() for line in plain(message).expandtabs(4).splitlines()]
    lines = [line for line in lines if line]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    kept = [cut(line[indent:], WIDTH) for line in lines[:LINES]]
    return "\n".join(kept), len(lines) - len(kept)


def first_line(text: str, width: int = 200) -> str:
    """The first line that says something, cut to a width."""
    lines = (found.strip() for found in plain(text).splitlines())
    return cut(next(filter(None, lines), ""), width)


def gist(message: str, width: int = 200) -> str:
    """The line of a message that says most: dbt's first one often names the node only."""
    lines = [line for line in message.splitlines() if line.strip()]
    if len(lines) > 1 and _DBT_HEADING.fullmatch(lines[0].strip()):
        lines = lines[1:]
    return first_line("\n".join(lines), width)


def cut(text: str, width: int) -> str:
    """A text in at most ``width`` characters; what is missing shows as dots."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."
