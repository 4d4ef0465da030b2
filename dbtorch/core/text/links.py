"""Addresses of the pages, below what `ui.url` says; nothing where it says nothing."""

from __future__ import annotations

from urllib.parse import quote


def run_link(url: str | None, run_id: str) -> str:
    """The page of a run."""
    return f"{url.rstrip('/')}/runs/{quote(run_id, safe='')}" if url and run_id else ""


def node_link(url: str | None, run_id: str, node_id: str) -> str:
    """A node on the page of a run."""
    page = run_link(url, run_id)
    return f"{page}#node={quote(node_id, safe='')}" if page else ""


def log_link(url: str | None, run_id: str, node_id: str, attempt: int) -> str:
    """The log of an attempt at a node."""
    page = run_link(url, run_id)
    return f"{page}/log?node={quote(node_id, safe='')}&attempt={attempt}" if page else ""
