"""Kinds of values that have parts: sections with known keys, mappings of names, lists, switches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field
from enum import EnumType
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from dbtorch.adapters.config.problems import Path, Report, shown
from dbtorch.adapters.config.scalars import DURATION, SCALARS, Kind, Shape, one_of, whole
from dbtorch.core.keys import Besides, Between
from dbtorch.core.text import durations


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section: a row of its table in the documentation."""

    name: str
    kind: Kind
    doc: str
    _: KW_ONLY
    default: str = ""  # as the documentation shows it
    example: str = ""  # a value, in YAML
    fills: str | None = ""  # field of the section's value; None: the fields that its value names
    within: str = ""  # the key that it stands under, where that is no field by itself


def keys_of(cls: type[Any], **kinds: Kind) -> dict[str, Key]:
    """The keys that the fields of a value say, by field; ``kinds`` of what no annotation says."""
    fields: Iterable[Field[Any]] = cls.__dataclass_fields__.values()
    return {of.name: _key(of, kinds.get(of.name)) for of in fields if "key" in of.metadata}


def _key(of: Field[Any], kind: Kind | None) -> Key:
    said = dict(of.metadata["key"])
    kind = kind or _kind(of.type)
    name = said.pop("name") or of.name
    default = said.pop("default") or _written(of.default, kind)
    return Key(name, kind, said.pop("doc"), default=default, fills=of.name, **said)


def _kind(annotation: Any) -> Kind:
    """The kind that reads values of an annotation's type, where it is a simple one."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        base, said = parts
        if isinstance(said, Between):
            return whole(said.least, said.most)
        if isinstance(said, Besides):
            return one_of(word for word in base if word is not said.word)
        return SCALARS[said]
    if get_origin(annotation) in (tuple, frozenset):
        return Several(_kind(parts[0]), into=get_origin(annotation))
    if parts:
        return _kind(next(part for part in parts if part is not NoneType))
    return one_of(annotation) if isinstance(annotation, EnumType) else SCALARS[annotation]


def _written(default: Any, kind: Kind) -> str:
    """A field's default as a user would write it; empty where nothing can be said."""
    if default is MISSING or default in (None, "", ()):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return durations.text(default) if kind.name == DURATION.name else str(default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A mapping with keys that are known.

    It comes to what ``build`` makes of the fields that were said, its path and the report. Where
    anything in it is wrong, it is not asked, and the section comes to nothing.
    """

    title: str
    keys: tuple[Key, ...]
    short: str = ""  # key that a value without keys stands for: ``schedule: "0 6 * * *"``
    required: tuple[str, ...] = ()  # keys that must be there
    check: Callable[[Mapping[str, Any], Path, Report], None] | None = None  # told what was written
    shape: Shape = field(default_factory=dict)  # what of that check JSON Schema can say
    more: Callable[[], Iterable[Key]] = tuple  # asked for keys not in the table
    build: Callable[[dict[str, Any], Path, Report], Any] = lambda said, _at, _report: said

    @property
    def name(self) -> str:
        """Short form, if any, and mapping."""
        short = next((key.kind.name for key in self.keys if key.name == self.short), "")
        return f"{short} or mapping" if short else "mapping"

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """What was said, built."""
        before = len(report.problems)
        written, inside = self._written(value, at, report)
        known = {key.name: key for key in self.keys}
        if any(key not in known for key in written):
            known = {**{key.name: key for key in self.more()}, **known}
        said: dict[str, Any] = {}
        for name, part in written.items():
            if name not in known:
                report.unknown(at, name, list(known))
                continue
            key = known[name]
            found = key.kind.read(part, (*at, name) if inside else at, report)
            said |= found or {} if key.fills is None else {key.fills or name: found}
        for name in self.required if isinstance(value, Mapping | None) else ():
            if name not in written:
                report.wrong(at, f"has no {name}")
        if self.check is not None:
            self.check(written, at, report)
        return self.build(said, at, report) if len(report.problems) == before else None

    def _written(self, value: Any, at: Path, report: Report) -> tuple[dict[str, Any], bool]:
        """What stands in it by key, and whether the keys were written, too."""
        if self.short and value is not None and not isinstance(value, Mapping):
            return {self.short: value}, False
        listed = ", ".join(key.name for key in self.keys)
        return _mapping(value, at, report, f"a {self.name} with the keys {listed}"), True


def section(
    cls: type[Any], *, title: str, kinds: Mapping[str, Kind] | None = None, **how: Any
) -> Section:
    """The section whose keys are those of a value's fields, and that comes to such a value."""
    keys = keys_of(cls, **(kinds or {}))
    fields = cls.__dataclass_fields__
    needed = (
        key.name
        for name, key in keys.items()
        if fields[name].default is MISSING and fields[name].default_factory is MISSING
    )
    how = {"build": lambda said, _at, _report: cls(**said), **how}
    return Section(title=title, keys=tuple(keys.values()), required=tuple(needed), **how)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A mapping whose keys a user chooses."""

    of: Kind
    pattern: str
    rule: str  # what the pattern means
    reserved: Mapping[str, str] = field(default_factory=dict)  # name -> why it is taken

    @property
    def name(self) -> str:
        """What it maps to."""
        return f"mapping of names to {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> dict[str, Any]:
        """What was said, by name; a name or value that is wrong is left out."""
        said = {}
        for name, part in _mapping(value, at, report, f"a {self.name}").items():
            if not re.fullmatch(self.pattern, name):
                report.add((*at, name), f"{shown(name)} in {report.name(at)} {self.rule}")
                continue
            if name in self.reserved:
                report.wrong((*at, name), self.reserved[name])
                continue
            said[name] = self.of.read(part, (*at, name), report)
        return said


@dataclass(frozen=True, slots=True)
class Several:
    """One value, or a list of them."""

    of: Kind
    into: Callable[[Iterable[Any]], Any] = tuple

    @property
    def name(self) -> str:
        """One or a list."""
        return f"{self.of.name} or list of {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """Always several."""
        if not isinstance(value, list | tuple):
            return self.into([self.of.read(value, at, report)])
        return self.into(
            [self.of.read(part, (*at, place), report) for place, part in enumerate(value)]
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """A list, also where it has one item."""

    of: Kind

    @property
    def name(self) -> str:
        """What it is a list of."""
        return f"list of {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> tuple[Any, ...]:
        """What was said, item by item. Nothing at all is an empty one."""
        if value is not None and not isinstance(value, list | tuple):
            report.wrong(at, f"is {shown(value)}; expected a {self.name}")
            return ()
        listed = enumerate(value or ())
        return tuple(self.of.read(part, (*at, place), report) for place, part in listed)


@dataclass(frozen=True, slots=True)
class Switch:
    """Something that can be turned off."""

    of: Kind
    _: KW_ONLY
    off: Any = None  # what ``false`` comes to
    on: bool = True  # ``true`` may be said, which is nothing but that it is on
    both: bool = False  # the documentation names both

    @property
    def name(self) -> str:
        """Both ways to say it."""
        return f"{'true, ' if self.both else ''}false or {self.of.name}"

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """What ``false`` comes to, or what was said."""
        if value is False:
            return self.off
        return self.of.read({} if value is True and self.on else value, at, report)


@dataclass(frozen=True, slots=True)
class Unread:
    """A value whose problems are found now, and which is passed on as it was written."""

    of: Kind
    name: str

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """The value itself."""
        if value is None:
            report.wrong(at, f"has no value; expected {self.name}")
            return None
        self.of.read(value, at, report)
        return value


@dataclass(frozen=True, slots=True)
class Later:
    """A kind that is imported when somebody says something of it, which most projects do not."""

    name: str
    find: Callable[[], Kind]

    def read(self, value: Any, at: Path, report: Report) -> Any:
        """What the kind itself makes of it."""
        return self.find().read(value, at, report)


def _mapping(value: Any, at: Path, report: Report, expected: str) -> dict[str, Any]:
    """A mapping with text keys. Nothing at all is an empty one: all of its keys are comments."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    report.wrong(at, f"is {shown(value)}; expected {expected}")
    return {}
