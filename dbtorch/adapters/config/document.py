"""YAML text as plain data that remembers the line of every key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, NoReturn

import yaml
from yaml.constructor import SafeConstructor
from yaml.reader import Reader

from dbtorch.adapters.config.problems import Path, Problem, dotted, shown
from dbtorch.adapters.config.yaml_errors import meant
from dbtorch.core.errors import ConfigError, Placed

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000  # after aliases are expanded; a few lines of them can stand for billions
MAX_DEPTH = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_SCALARS = SafeConstructor()
_TEXTS = ("str", "timestamp", "value", "merge")  # dates stay as written, JSON has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a YAML file says. Every key is text, as written."""

    file: str
    data: Any
    lines: dict[Path, int]  # 1 is the first
    problems: tuple[Problem, ...]  # duplicate keys and values that are not data

    def line(self, at: Path) -> int:
        """Line of a place, or of the nearest place around it; 0 when unknown."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 0)


def read(path: File, file: str) -> Document:
    """Read a YAML file that messages call ``file``. Raises `ConfigError`."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([Placed(f"cannot be read: {error.strerror or error}", file)]) from None
    if len(raw) > MAX_BYTES:
        large = f"is larger than {MAX_BYTES:,} bytes; is it the right file?"
        raise ConfigError([Placed(large, file)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        odd = f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        raise ConfigError([Placed(odd, file, line)]) from None
    return parse(text, file)


def parse(text: str, file: str) -> Document:
    """Read YAML text. Raises `ConfigError` for what is no YAML, or too much of it."""
    odd = Reader.NON_PRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        _refuse(file, line, f"holds the control character U+{ord(odd.group()):04X}; remove it")
    try:
        _measure(yaml.parse(text, Loader=_LOADER), file)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        _refuse(file, *_explained(error, text))
    except yaml.YAMLError as error:
        _refuse(file, 0, f"is not valid YAML: {meant(error)}")
    builder = _Builder()
    data = None if root is None else builder.build(root, ())
    return Document(file=file, data=data, lines=builder.lines, problems=tuple(builder.problems))


def _refuse(file: str, line: int, text: str) -> NoReturn:
    raise ConfigError([Placed(text, file, line)]) from None


def _explained(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """Line and sentence for what the parser stumbled over."""
    lines = text.splitlines()
    marks = [mark.line + 1 for mark in (error.context_mark, error.problem_mark) if mark]
    line = min(marks[-1] if marks else 1, len(lines))
    if "\t" in lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())]:
        return line, "is indented with a tab; YAML wants spaces"
    begun = f" (begun in line {marks[0]})" if marks and marks[0] < line else ""
    return line, f"is not valid YAML: {meant(error)}{begun}"


@dataclass(slots=True)
class _Collection:
    anchor: str | None
    values: int = 1
    height: int = 1

    def add(self, values: int, height: int) -> None:
        self.values += values
        self.height = max(self.height, height + 1)


def _measure(events: Iterable[yaml.Event], file: str) -> None:
    """Refuse what would be too large or too deep with its aliases expanded."""
    expansion = _Expansion()
    for event in events:
        wrong = expansion.take(event)
        if wrong:
            _refuse(file, event.start_mark.line + 1 if event.start_mark else 0, wrong)


class _Expansion:
    """What a document comes to with its aliases expanded."""

    def __init__(self) -> None:
        self._known: dict[str, _Collection] = {}  # by anchor
        self._stack = [_Collection(None)]
        self._documents = 0

    def take(self, event: yaml.Event) -> str:
        """Take an event of the parser; answers what is wrong by now, nothing where nothing is."""
        wrong = ""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                wrong = "begins a second YAML document; keep one in a file"
        elif isinstance(event, yaml.CollectionStartEvent):
            self._stack.append(_Collection(event.anchor))
            self._known.pop(event.anchor or "", None)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            wrong = self._repeat(event.anchor or "")
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                self._known[event.anchor] = _Collection(event.anchor)
            self._stack[-1].add(1, 1)
        return wrong or self._excess()

    def _end(self) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._known[done.anchor] = done
        self._stack[-1].add(done.values, done.height)

    def _repeat(self, anchor: str) -> str:
        if any(part.anchor == anchor for part in self._stack) and anchor not in self._known:
            return f"alias *{anchor} stands inside of what it repeats"
        target = self._known.get(anchor, _Collection(None))
        self._stack[-1].add(target.values, target.height)
        return ""

    def _excess(self) -> str:
        if sum(part.values for part in self._stack) > MAX_VALUES:
            return f"comes to more than {MAX_VALUES:,} values with aliases expanded"
        if len(self._stack) + self._stack[-1].height > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} levels deep"
        return ""


class _Builder:
    """Turns composed nodes into data, one line number per key and list item."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, at: Path) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._item(item, (*at, place)) for place, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at)
        self._complain(node, at, f"has the tag {shown(node.tag)}, which means nothing here")
        return None

    def _item(self, node: yaml.Node, at: Path) -> Any:
        self.lines[at] = node.start_mark.line + 1
        return self.build(node, at)

    def _mapping(self, node: yaml.MappingNode, at: Path) -> dict[str, Any]:
        found: dict[str, tuple[int, yaml.Node]] = {}
        own: set[str] = set()
        for key, value, merged in self._entries(node, at):
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._complain(key, at, 'has a key that is no text; put quotes around "{{ ... }}"')
            elif merged:
                found.setdefault(key.value, (line, value))
            elif key.value in own:
                first = f"the first is in line {found[key.value][0]}"
                self._complain(key, (*at, key.value), f"is there twice; {first}")
            else:
                own.add(key.value)
                found[key.value] = (line, value)
        data = {}
        for name, (line, value) in found.items():
            self.lines[(*at, name)] = line
            data[name] = self.build(value, (*at, name))
        return data

    def _entries(
        self, node: yaml.MappingNode, at: Path
    ) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Entries of a mapping; those that ``<<`` brings in come last and are marked."""
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                yield key, value, False
        for other in merged:
            if isinstance(other, yaml.MappingNode):
                yield from ((key, value, True) for key, value, _ in self._entries(other, at))
            else:
                self._complain(other, at, "merges something with << that is no mapping")

    def _scalar(self, node: yaml.ScalarNode, at: Path) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind in _TEXTS or (kind in ("int", "float") and ":" in node.value):
            return node.value  # 12:30 is the number 750 in YAML 1.1, which nobody means
        try:
            return self._value(kind, node)
        except (ValueError, KeyError, IndexError, OverflowError):
            known = node.tag.startswith(_TAG) and "/" not in kind
            tag = f"has the tag {shown(node.tag)}, which means nothing here"
            self._complain(
                node, at, f"is {shown(node.value)}, which is no {kind}" if known else tag
            )
            return None

    @staticmethod
    def _value(kind: str, node: yaml.ScalarNode) -> bool | float | int | None:
        if kind == "null":
            return None
        if kind == "bool":
            return bool(_SCALARS.construct_yaml_bool(node))
        if kind == "int":
            return int(_SCALARS.construct_yaml_int(node))
        if kind == "float":
            return float(_SCALARS.construct_yaml_float(node))
        raise ValueError(kind)

    def _complain(self, node: yaml.Node, at: Path, what: str) -> None:
        place = dotted(at) or "the top level"
        # A place of its own, because the line of a duplicate is not that of the first.
        mark: Path = (*at, f"line {node.start_mark.line + 1}")
        self.lines[mark] = node.start_mark.line + 1
        self.problems.append(Problem(mark, f"{place} {what}"))
