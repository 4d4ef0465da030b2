"""Whether doing something twice leaves what doing it once does: contents, and how two differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

#: Columns that say when or by which load a row came: they differ on purpose. Patterns, any case.
#: After those of this project's sample and of dbt packages, what Fivetran, Airbyte, Singer taps
#: and dlt add by themselves.
LOAD_COLUMNS = (
    "_loaded_at",
    "_dbt_*",
    "_fivetran_synced",
    "_airbyte_extracted_at",
    "_sdc_*_at",
    "_dlt_load_id",
)

#: Bytes of the hash of one row.
DIGEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a relation held at one time, whatever the order of its rows."""

    rows: int
    columns: Mapping[str, str]  # compared column -> hash of its values
    left_out: tuple[str, ...] = ()  # columns that are not compared
    digests: bytes = b""  # the hash of every row, one after the other

    @property
    def hash(self) -> str:
        """One hash of all rows."""
        total = sum(int.from_bytes(piece) for piece in self._pieces())
        return f"{total % 2 ** (8 * DIGEST):0{2 * DIGEST}x}"

    def counted(self) -> Counter[bytes]:
        """How often each row is there."""
        return Counter(self._pieces())

    def _pieces(self) -> list[bytes]:
        return [self.digests[at : at + DIGEST] for at in range(0, len(self.digests), DIGEST)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a relation differs after a second time."""

    changed: int = 0  # rows that have other values
    more: int = 0
    fewer: int = 0
    doubled: bool = False  # every row is there twice as often
    columns: tuple[str, ...] = ()  # that hold other values, where the number of rows is the same
    other_columns: tuple[str, ...] = ()  # that are there in one of the two only
    gone: bool = False  # the relation is there no more
    new: bool = False  # it was not there before

    def __str__(self) -> str:
        """What differs, for people."""
        if self.gone or self.new:
            return "it is gone" if self.gone else "it is a new one"
        said = []
        if self.doubled:
            said.append("rows doubled")
        elif self.more:
            said.append(f"{_rows(self.more)} more")
        if self.fewer:
            said.append(f"{_rows(self.fewer)} fewer")
        if self.changed:
            said.append(f"{_rows(self.changed)} changed")
        text = ", ".join(said)
        if self.columns:
            text += f" in {', '.join(self.columns)}"
        if self.other_columns:
            text += f"{text and '; '}other columns: {', '.join(self.other_columns)}"
        return text


def compare(first: Content | None, second: Content | None) -> Difference | None:
    """How two contents differ, None when they do not; a relation that is not there has none."""
    if first is None or second is None:
        return None if first is second else Difference(gone=second is None, new=first is None)
    other_columns = tuple(sorted(first.columns.keys() ^ second.columns.keys()))
    before, after = first.counted(), second.counted()
    if before == after and not other_columns:
        return None
    lost, won = (before - after).total(), (after - before).total()
    changed = min(lost, won)
    both = first.columns.keys() & second.columns.keys()
    return Difference(
        changed=changed,
        more=won - changed,
        fewer=lost - changed,
        doubled=bool(before) and after == before + before,
        columns=tuple(
            sorted(name for name in both if first.columns[name] != second.columns[name])
            if first.rows == second.rows
            else ()
        ),
        other_columns=other_columns,
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
