"""Finds lines in dbt's files: of a ``meta.dbtorch`` that is wrong, of a node's description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as File
from pathlib import PurePath
from typing import Any

from dbtorch.adapters.config.document import Document, read
from dbtorch.adapters.config.problems import Path
from dbtorch.core.config import Origin
from dbtorch.core.errors import ConfigError

_PROJECT = "dbt_project.yml"
_KEY = "dbtorch"
_YAML = (".yml", ".yaml")
_ABSENT = object()


class Locator:
    """Looks into the files of one project, each of them once."""

    def __init__(self, project_dir: File) -> None:
        self._root = project_dir
        self._codes: dict[str, dict[str, str]] = {}
        self._documents: dict[str, Document | None] = {}
        self._mentions: dict[str, list[tuple[Path, set[str]]]] = {}

    def find(self, node: str, file: str, at: Path, value: Any) -> Origin:
        """Where ``value`` was written as ``at``, inside of a node's ``meta.dbtorch``.

        ``file`` is where dbt says the node is. The line may as well be in the node's own code or
        in dbt_project.yml. The file alone is answered when nothing tells.
        """
        names = node.split(".")[2:]  # without resource type and package
        for candidate in self._files(names, file):
            if candidate == _PROJECT:
                line = self._line(candidate, list(PurePath(file).parts), at, value)
            elif candidate.endswith(_YAML):
                line = self._line(candidate, names, at, value)
            else:
                line = self._line_of_code(candidate, at)
            if line:
                return Origin(file=candidate, line=line)
        return Origin(file=file or _PROJECT)

    def described(self, name: str, file: str, *, column: str = "") -> int:
        """Line of a YAML file on which the description of a node begins, or of its column.

        0 where it has none.
        """
        document = self._document(file) if file.endswith(_YAML) else None
        if document is None:
            return 0
        for at in document.lines:
            if at[-1:] == ("name",) and "columns" not in at and _value(document, at) == name:
                return _column(document, at[:-1], column) or document.line(at)
        return 0

    def _files(self, names: list[str], file: str) -> Iterator[str]:
        yield file
        folder, *rest = PurePath(file).parts or ("",)
        if file.endswith(_YAML) and names and rest and folder not in ("..", PurePath(file).anchor):
            code = self._code(folder)
            yield from (code[name] for name in (names[0], "_".join(names)) if name in code)
        yield _PROJECT

    def _code(self, folder: str) -> dict[str, str]:
        """SQL files of a folder, by the name of their node."""
        if folder not in self._codes:
            found = (self._root / folder).rglob("*.sql")
            paths = {path.stem: path.relative_to(self._root).as_posix() for path in found}
            self._codes[folder] = paths
        return self._codes[folder]

    def _line(self, file: str, near: list[str], at: Path, value: Any) -> int:
        """Line in a YAML file, of the place whose names fit best or that is the only one."""
        document = self._document(file)
        if document is None:
            return 0
        if file not in self._mentions:
            self._mentions[file] = list(_mentions(document))
        # dbt merges the meta of several levels: only one that says this can be meant.
        places = [
            (_matched(names, near), (*base, *at))
            for base, names in self._mentions[file]
            if _value(document, (*base, *at)) == value
        ]
        fit, best = max(places, key=lambda place: place[0], default=([], ()))
        return document.line(best) if fit or len(places) == 1 else 0

    def _line_of_code(self, file: str, at: Path) -> int:
        """A model's own config() is code: look for the key, after dbtorch was mentioned."""
        try:
            lines = (self._root / file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return 0
        start = next((n for n, line in enumerate(lines) if _KEY in line), None)
        if start is None:
            return 0
        key = next((part for part in reversed(at) if isinstance(part, str)), _KEY)
        return next((n for n, line in enumerate(lines) if n >= start and key in line), start) + 1

    def _document(self, file: str) -> Document | None:
        if file not in self._documents:
            try:
                self._documents[file] = read(self._root / file, file)
            except ConfigError:
                self._documents[file] = None
        return self._documents[file]


def _mentions(document: Document) -> Iterator[tuple[Path, set[str]]]:
    """Every ``dbtorch`` key, with the names of the resources and folders it stands in."""
    for place in document.lines:
        if place and place[-1] == _KEY and "meta" in (str(part).lstrip("+") for part in place):
            yield place, set(_names(document, place))


def _names(document: Document, place: Path) -> Iterator[str]:
    data = document.data
    for part in place:
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            yield data["name"]
        if isinstance(part, str):
            yield part
        data = data[part]


def _column(document: Document, base: Path, name: str) -> int:
    """Line of a column that is described below a place; 0 where none is."""
    inside = (*base, "columns")
    for at in document.lines:
        found = at[: len(inside)] == inside and at[len(inside) + 1 :] == ("name",)
        if found and _value(document, at) == name:
            return document.line(at)
    return 0


def _value(document: Document, place: Path) -> Any:
    if place not in document.lines:
        return _ABSENT
    data = document.data
    for part in place:
        data = data[part]
    return data


def _matched(names: set[str], near: list[str]) -> list[int]:
    """Which of the words a place stands under, the last and most specific one first."""
    return [place for place, word in reversed(list(enumerate(near))) if word in names]
