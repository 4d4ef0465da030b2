"""A feed: files of one kind that another system delivers, and how they are read.

Everything lands as text, the way it was delivered. Types are the staging models' business, so a
surprising value fails a test with a name instead of a load.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Files ``landing/<folder>/*.csv`` or ``*.jsonl`` that land in ``raw.<table>``."""

    table: str
    columns: tuple[str, ...]
    folder: str = ""  # the table's name when empty

    def files(self, project_dir: Path) -> list[File]:
        """What has been delivered so far, oldest name first."""
        folder = project_dir / "landing" / (self.folder or self.table)
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}: has the delivery been moved?")
        found = (path for path in folder.iterdir() if path.suffix in (".csv", ".jsonl"))
        return [
            File(name=str(path.relative_to(project_dir / "landing")), content=path.read_bytes())
            for path in sorted(found)
        ]

    def rows(self, file: File) -> list[Row]:
        """The rows of a file, their values in the order of `columns`."""
        records = _records(file)
        return [self._row(record, f"{file.name}:{line}") for line, record in records]

    def _row(self, record: dict[str, str | None], place: str) -> Row:
        unknown = sorted(set(record) - set(self.columns))
        if unknown:
            raise ValueError(
                f"{place} has unknown columns {', '.join(unknown)}: "
                f"add them to the feed {self.table!r} or ask the sender"
            )
        missing = [column for column in self.columns if column not in record]
        if missing:
            raise ValueError(f"{place} lacks the columns {', '.join(missing)}")
        return tuple(record[column] for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A delivered file, read once, so that its hash and its rows belong together."""

    name: str  # relative to landing/
    content: bytes

    @property
    def hash(self) -> str:
        """What changes when the content does."""
        return hashlib.sha256(self.content).hexdigest()


def _records(file: File) -> Iterator[tuple[int, dict[str, str | None]]]:
    text = file.content.decode("utf-8-sig")
    if file.name.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="(too many values)")
        for record in reader:
            if None in record.values():
                raise ValueError(f"{file.name}:{reader.line_num} has too few values")
            yield reader.line_num, {name: value or None for name, value in record.items()}
        return
    for line, document in enumerate(text.splitlines(), start=1):
        if document.strip():
            yield line, {name: _text(value) for name, value in json.loads(document).items()}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
