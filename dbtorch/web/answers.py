"""What answers to browsers and programs share."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from dbtorch.core.errors import UsageError
from dbtorch.version import VERSION
from dbtorch.web.pages import static
from dbtorch.web.security import may_act

#: Files that a browser may ask for, and what they are.
STATIC = {
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("style.css", "graph.css"), "text/css"),
    **dict.fromkeys(
        (
            "actions.js",
            "common.js",
            "graph.js",
            "home.js",
            "lanes.js",
            "live.js",
            "log.js",
            "node.js",
            "node_facts.js",
            "nodes.js",
            "paint.js",
            "plots.js",
            "run.js",
            "stage.js",
            "token.js",
        ),
        "text/javascript",
    ),
}


def html(text: str) -> Response:
    """A page."""
    return Response(text, media_type="text/html")


def json_answer(text: str, status: int = 200) -> Response:
    """JSON that is text already."""
    return Response(text, status, media_type="application/json")


def number(request: Request, name: str) -> int | None:
    """A number that was asked for; None for none. Raises `UsageError`."""
    text = request.query_params.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UsageError(f"{name} is {text[:40]!r}, which is no number")
    return int(text) if text else None


def base(request: Request) -> str:
    """What addresses of pages begin with."""
    return f"{request.scope.get('root_path', '')}/"


def common(request: Request) -> dict[str, Any]:
    """What every page is told: where it is, of which version its files are, who looks at it."""
    key = request.app.state.site.key
    return {
        "base": base(request),
        "version": _version(),
        "VERSION": VERSION,
        "acts": bool(key) and may_act(request, key),
    }


@cache
def _version() -> str:
    """Something that changes with the files, so that browsers keep those they have."""
    return hashlib.sha256("".join(map(static, sorted(STATIC))).encode()).hexdigest()[:10]
