"""Text as Slack takes it: escaped, within its limits, and never a mention by accident.

Limits: https://docs.slack.dev/reference/block-kit/blocks; escaping:
https://docs.slack.dev/messaging/formatting-message-text#escaping.
"""

from __future__ import annotations

import re
from typing import Any

#: Characters of the text of a block, blocks of a message, characters of its fallback text.
BLOCK = 3000
BLOCKS = 50
FALLBACK = 3000

_ENTITY_CUT_OFF = re.compile(r"&[a-z]{0,3}$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def escape(text: str) -> str:
    """Somebody's text: nothing in it means anything to Slack."""
    clean = _CONTROL.sub("", text)
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def inline(text: str) -> str:
    """Somebody's text within a line that may be bold or code."""
    return escape(" ".join(text.split())).replace("`", "'").replace("*", "\u2217")


def cut(escaped: str, limit: int = BLOCK) -> str:
    """At most so many characters; what is missing shows as dots, and no ``&amp;`` is halved."""
    if len(escaped) <= limit:
        return escaped
    return _ENTITY_CUT_OFF.sub("", escaped[: limit - 1]) + "\u2026"


def preformatted(text: str) -> str:
    """Somebody's lines in a block of code, which they cannot leave."""
    inside = escape(text).replace("```", "'''").strip("\n")
    return f"```{cut(inside, BLOCK - 6)}```"


def link(url: str, label: str) -> str:
    """A link; only a web address becomes one."""
    if not re.fullmatch(r"https?://[^\s<>|]+", url):
        return f"`{inline(url)}`"
    return f"<{escape(url)}|{inline(label)}>"


def section(text: str) -> dict[str, Any]:
    """A block of text in Slack's own markup; names of channels and URLs in it stay text."""
    return {"type": "section", "text": _mrkdwn(text)}


def context(text: str) -> dict[str, Any]:
    """A block of small text."""
    return {"type": "context", "elements": [_mrkdwn(text)]}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": cut(text) or " ", "verbatim": True}
