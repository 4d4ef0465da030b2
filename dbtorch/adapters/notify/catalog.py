"""Which notifiers there are: the built-in ones, and those of other packages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dbtorch.adapters.notify import email, slack, webhook
from dbtorch.adapters.notify.base import NotifierError, NotifierType

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Entry points of this group are notifiers; the name is the key under ``alerts``.
GROUP = "dbtorch.notifiers"

BUILT_IN: Mapping[str, NotifierType] = {
    "slack": slack,
    "webhook": webhook,
    "email": email,
}


def installed() -> tuple[str, ...]:
    """Names of the notifiers of other packages, nothing loaded."""
    return tuple(sorted(set(_entries()) - set(BUILT_IN)))


def find(name: str) -> NotifierType:
    """The notifier of that name. Raises `NotifierError` for none, or one that does not load."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    entries = _entries()
    if name not in entries:
        known = (*BUILT_IN, *entries)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise NotifierError(f"there is no notifier {name!r}; {hint}")
    return _load(entries[name])


def _entries() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> NotifierType:
    source = f"notifier {entry.name!r} ({entry.value})"
    try:
        found: NotifierType = entry.load()
    except Exception as error:
        raise NotifierError(
            f"{source} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    for function in ("place", "preview", "open"):
        if not callable(getattr(found, function, None)):
            raise NotifierError(f"{source} has no function {function!r}")
    return found
