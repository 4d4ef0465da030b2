"""``raw._loads``: a row for every file that landed, with the hash of its content.

A file whose content is known is left alone, so a second run moves nothing. That saves work; what
keeps rows from landing twice is the pattern that writes them. A pattern changes its table and the
ledger in one transaction, so neither ever says something that the other does not.
"""

from __future__ import annotations

from ingestion.feeds import Feed, File
from ingestion.warehouse import Warehouse, now

_LEDGER = """
create table if not exists raw._loads (
    feed text not null,
    file text not null,
    content_hash text not null,
    row_count integer not null,
    run_id text,
    loaded_at timestamp not null,
    checked_at timestamp not null
)
"""


def prepare(warehouse: Warehouse, *feeds: Feed) -> None:
    """Make sure that the ledger and the tables of these feeds are there."""
    with warehouse.transaction():
        if warehouse.type == "postgres":
            # "if not exists" does not help two sessions that create the same thing at once.
            warehouse.execute("select pg_advisory_xact_lock(hashtext('raw._loads'))")
        warehouse.execute("create schema if not exists raw")
        warehouse.execute(_LEDGER)
        for feed in feeds:
            create_table(warehouse, f"raw.{feed.table}", feed)


def create_table(warehouse: Warehouse, table: str, feed: Feed) -> None:
    """A table for the rows of a feed, all text, with the file they came from and when they did."""
    columns = ", ".join(f"{column} text" for column in feed.columns)
    warehouse.execute(
        f"create table if not exists {table} "
        f"({columns}, _file text not null, _loaded_at timestamp not null)"
    )


def known(warehouse: Warehouse, feed: Feed) -> dict[str, str]:
    """The files of a feed that have landed, and the hash each had."""
    query = "select file, content_hash from raw._loads where feed = ?"
    return dict(warehouse.fetch(query, [feed.table])[1])


def landed(warehouse: Warehouse, feed: Feed, file: File, count: int, *, run_id: str) -> None:
    """Note a file and how many rows it had; call it inside the transaction that landed them."""
    at = now()
    warehouse.execute("delete from raw._loads where feed = ? and file = ?", [feed.table, file.name])
    warehouse.execute(
        "insert into raw._loads "
        "(feed, file, content_hash, row_count, run_id, loaded_at, checked_at) "
        "values (?, ?, ?, ?, ?, ?, ?)",
        [feed.table, file.name, file.hash, count, run_id, at, at],
    )


def forget(warehouse: Warehouse, feed: Feed) -> None:
    """Drop what is known of a feed whose table starts anew; within the same transaction."""
    warehouse.execute("delete from raw._loads where feed = ?", [feed.table])


def checked(warehouse: Warehouse, feed: Feed) -> None:
    """Note that somebody looked: a feed without news is quiet, one that nobody asked is stale."""
    warehouse.execute("update raw._loads set checked_at = ? where feed = ?", [now(), feed.table])
