"""The text of a log in pieces, so that the largest one takes no more memory than a piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dbtorch.core.errors import UsageError

#: Bytes that are read at once, and characters of a line that is broken where it is longer.
_AT_ONCE = 1 << 18
_LONGEST_LINE = 1 << 16

#: Bytes of a log that go into JSON, where it must be one text: the last ones, as they say most.
MOST_IN_JSON = 10_000_000


class LogText:
    """What is in a file so far, and what is added to it; nothing of one that is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def pieces(self) -> Iterator[str]:
        """What has come since the last time: whole lines, without the last line break."""
        while chunk := self._read():
            text = self._rest + self._decoder.decode(chunk)
            whole, found, self._rest = text.rpartition("\n")
            if found:
                yield _broken(whole)
            elif len(self._rest) >= _LONGEST_LINE:
                yield _broken(self._rest)
                self._rest = ""

    def last(self) -> Iterator[str]:
        """The end, once nothing will be added: a line without a line break."""
        yield from self.pieces()
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        if rest:
            yield _broken(rest)
        if self._file is not None:
            self._file.close()

    def _read(self) -> bytes:
        try:
            if self._file is None:
                self._file = self._path.open("rb")
            return self._file.read(_AT_ONCE)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise UsageError(f"{self._path} cannot be read: {error.strerror}") from error


def end_of(path: Path, most: int = MOST_IN_JSON) -> tuple[str, int]:
    """The last bytes of a file as text, and how many there are before them."""
    try:
        with path.open("rb") as file:
            before = max(0, file.seek(0, 2) - most)
            file.seek(before)
            return file.read(most).decode("utf-8", "replace"), before
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


#: Bytes of a log that are answered at once.
_PIECE = 4 << 20


def piece_of(path: Path, start: int) -> tuple[str, int]:
    """Whole lines from a byte on, and the byte after them; the last line may not be whole yet.

    Raises `UsageError` for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(min(start, file.seek(0, 2)))
            found = file.read(_PIECE)
    except FileNotFoundError:
        return "", start
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(found) == _PIECE and b"\n" in found:
        found = found[: found.rindex(b"\n") + 1]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(found)
    return text, start + len(found) - len(decoder.getstate()[0])  # half a character comes later


def _broken(text: str) -> str:
    """The text with line breaks in lines that are too long for whatever shows them."""
    if len(text) < _LONGEST_LINE:
        return text
    return "\n".join(part for line in text.split("\n") for part in _parts(line))


def _parts(line: str) -> Iterator[str]:
    for start in range(0, max(1, len(line)), _LONGEST_LINE):
        yield line[start : start + _LONGEST_LINE]
