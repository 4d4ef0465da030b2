"""Plug-ins: modules of dbtorch, and those that other packages bring by entry points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from dbtorch.core.text.nearest import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)  # with slots Python cannot set its type variable
class Catalog(Generic[T]):
    """Those of one kind, by the names that ``dbtorch.yml`` has for them."""

    what: str  # the kind, for people
    group: str  # of the entry points
    built_in: Mapping[str, T]  # which nobody replaces
    functions: tuple[str, ...]  # that each one has
    optional: tuple[str, ...] = ()  # functions that one may have
    flags: tuple[str, ...] = ()  # that one may have, True or False
    error: type[Exception]  # what `find` raises

    def installed(self) -> tuple[str, ...]:
        """Names of those of other packages, nothing loaded."""
        return tuple(sorted(set(self._entries()) - set(self.built_in)))

    def names(self) -> tuple[str, ...]:
        """All names, nothing loaded."""
        return (*self.built_in, *self.installed())

    def find(self, name: str) -> T:
        """The one of that name. Raises `error` for none, or one that does not load."""
        if name in self.built_in:
            return self.built_in[name]
        entry = self._entries().get(name)
        if entry is None:
            known = self.names()
            hint = did_you_mean(name, known, quote="'") or f"; there are {', '.join(known)}"
            raise self.error(f"there is no {self.what} {name!r}{hint}")
        return self._load(entry)

    def _entries(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=self.group)}

    def _load(self, entry: EntryPoint) -> T:
        source = f"{self.what} {entry.name!r} ({entry.value})"
        try:
            found: T = entry.load()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise self.error(f"{source} cannot be loaded: {why}") from error
        for function in self.functions:
            if not callable(getattr(found, function, None)):
                raise self.error(f"{source} has no function {function!r}")
        for function in self.optional:
            if not callable(getattr(found, function, callable)):
                raise self.error(f"{source}: {function} is no function")
        for flag in self.flags:
            said = getattr(found, flag, True)
            if not isinstance(said, bool):
                raise self.error(f"{source}: {flag} is {said!r}; expected True or False")
        return found
