"""What the supervisor may ask an open session about the warehouse, through dbt's own connection.

Relations are read whole and hashed here, so that every adapter can answer; of other queries a few
rows are answered.
"""

from __future__ import annotations

import fnmatch
import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from .channel import Message
from .results import failure

#: Bytes of a hash.
_DIGEST = 16

#: Rows that are fetched at once.
_ROWS = 5000


def answer(task: Any, message: Message) -> Message:
    """The answer to a question, or what went wrong."""
    from dbt.adapters.factory import get_adapter

    try:
        adapter = get_adapter(task.config)
        with adapter.connection_named("dbtorch-question"):
            return {"found": _QUESTIONS[message["question"]](adapter, message)}
    except BaseException as error:
        return {"error": failure(error)["message"]}


def content(adapter: Any, message: Message) -> Message:
    """Rows, columns and hashes of a relation; the hashes of its rows go to a file."""
    names, rows = _read(adapter, f"select * from {message['relation']}")
    patterns = [pattern.lower() for pattern in message["ignore"]]
    left_out = [name for name in names if _matches(name, patterns)]
    # By name: a column that moved to another place holds what it held.
    places = sorted((name.lower(), place) for place, name in enumerate(names))
    places = [(name, place) for name, place in places if not _matches(name, patterns)]
    sums = [0] * len(places)
    count = 0
    with Path(message["file"]).open("wb") as file:
        for row in rows:
            cells = [hashed(row[place]) for _, place in places]
            for at, cell in enumerate(cells):
                sums[at] += int.from_bytes(cell, "big")
            file.write(_hash(b"".join(cells)))
            count += 1
    columns = {
        name: f"{total % 2 ** (8 * _DIGEST):x}"
        for (name, _), total in zip(places, sums)  # noqa: B905  # Python 3.9
    }
    return {"rows": count, "columns": columns, "left_out": left_out}


def tables(adapter: Any, _: Message) -> list[str]:
    """The tables of the DuckDB database, each as SQL names it."""
    query = (
        "select table_schema, table_name from information_schema.tables "
        "where table_type = 'BASE TABLE' and table_catalog = current_database() order by all"
    )
    return [f"{_quoted(schema)}.{_quoted(name)}" for schema, name in _read(adapter, query)[1]]


def drop_schemas(adapter: Any, message: Message) -> list[str]:
    """Drop the schemas whose names begin with a prefix; answers which."""
    dropped = []
    for database in message["databases"]:
        for schema in adapter.list_schemas(database):
            if schema.lower().startswith(message["prefix"].lower()):
                relation = adapter.Relation.create(database=database, schema=schema)
                adapter.drop_schema(relation)
                dropped.append(schema)
    return dropped


def rows(adapter: Any, message: Message) -> list[list[Any]]:
    """The first rows of a query; what JSON does not know is text."""
    _, found = _read(adapter, message["sql"])
    return [[_plain(cell) for cell in row] for row in islice(found, message["most"])]


def columns(adapter: Any, message: Message) -> list[list[str]]:
    """Name, name as SQL has it, and type of each column of a relation; none where it is not there.

    It is looked at anew: other processes build as well.
    """
    relation = adapter.Relation.create(
        database=message["database"] or None, schema=message["schema"], identifier=message["name"]
    )
    found = adapter.get_columns_in_relation(relation)
    return [[one.name, _in_sql(adapter, one.name), str(one.data_type)] for one in found]


def mark_schema(adapter: Any, message: Message) -> bool:
    """Make a schema, if it is not there, and a table in it that says whose it is; answers whether.

    One that holds something already, and has no such table, is somebody else's and stays so. Where
    the warehouse can, both are made in one transaction: no schema is left without its table.
    """
    where = {"database": message["database"] or None, "schema": message["schema"]}
    marker = adapter.Relation.create(**where, identifier=message["table"])
    said = {name: _text(text) for name, text in message["marker"].items()}
    if columns(adapter, {**where, "name": message["table"]}):
        values = ", ".join(f"{name} = {text}" for name, text in said.items())
        adapter.execute(f"update {marker} set {values} where pr = {said['pr']}", auto_begin=True)
        adapter.commit_if_has_connection()
        return True
    schema = adapter.Relation.create(**where)
    adapter.execute_macro("create_schema", kwargs={"relation": schema.without_identifier()})
    if adapter.list_relations_without_caching(schema):
        return False
    listed = ", ".join(f"{text} as {name}" for name, text in said.items())
    adapter.execute(f"create table {marker} as select {listed}", auto_begin=True)
    adapter.commit_if_has_connection()
    return True


def clone(adapter: Any, message: Message) -> bool:
    """Make a table a clone of another by dbt's own macros; answers False where these cannot."""
    source = _there(adapter, message["of"])
    if source is None or not source.is_table or not adapter.execute_macro("can_clone_table"):
        return False
    target = adapter.Relation.create(**message["to"], type="table")
    old = _there(adapter, message["to"])
    if old is not None and not old.is_table:
        adapter.drop_relation(old)
    relations = {"this_relation": target, "defer_relation": source}
    sql = adapter.execute_macro("create_or_replace_clone", kwargs=relations)
    adapter.execute(str(sql), auto_begin=True)
    adapter.commit_if_has_connection()
    return True


def make(adapter: Any, message: Message) -> bool:
    """Make a view or table of a query, in the place of what is there."""
    old = _there(adapter, message["to"])
    if old is not None:
        adapter.drop_relation(old)
    kind = "view" if message["view"] else "table"
    target = adapter.Relation.create(**message["to"], type=kind)
    adapter.execute(f"create {kind} {target} as {message['sql']}", auto_begin=True)
    adapter.commit_if_has_connection()
    return True


def _there(adapter: Any, place: Message) -> Any:
    """A relation as it is now, with its type; None where there is none."""
    schema = adapter.Relation.create(database=place["database"], schema=place["schema"])
    found = adapter.list_relations_without_caching(schema)
    name = place["identifier"].lower()
    return next((one for one in found if one.identifier.lower() == name), None)


def marked_schemas(adapter: Any, message: Message) -> list[Message]:
    """The schemas whose names match a pattern, each with what its marker says, if it has one."""
    pattern = re.compile(message["pattern"], re.IGNORECASE)
    found = []
    for database in message["databases"]:
        for schema in sorted(adapter.list_schemas(database)):
            if pattern.fullmatch(schema):
                marker = _marker(adapter, database, schema, message["table"])
                found.append({"database": database, "schema": schema, "marker": marker})
    return found


def drop_marked(adapter: Any, message: Message) -> bool:
    """Drop a schema, if it has a marker that says just this; answers whether."""
    database, schema = message["database"], message["schema"]
    if _marker(adapter, database, schema, message["table"]) != message["marker"]:
        return False
    adapter.drop_schema(adapter.Relation.create(database=database, schema=schema))
    return True


def _marker(adapter: Any, database: str, schema: str, table: str) -> Message | None:
    where = {"database": database, "schema": schema, "name": table}
    if not columns(adapter, where):
        return None
    relation = adapter.Relation.create(database=database, schema=schema, identifier=table)
    names, rows = _read(adapter, f"select * from {relation}")
    row = next(rows, None)
    if row is None:
        return None
    return {name.lower(): str(cell) for name, cell in zip(names, row)}  # noqa: B905  # Python 3.9


def _in_sql(adapter: Any, name: str) -> str:
    """A name in quotes; dbt's adapters leave quotes as they are that are part of one."""
    mark = str(adapter.quote("x"))[0]
    return str(adapter.quote(name.replace(mark, 2 * mark)))


def _text(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _plain(cell: Any) -> Any:
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else str(cell)
    return cell if cell is None or isinstance(cell, (bool, int)) else str(cell)


_QUESTIONS = {
    "content": content,
    "tables": tables,
    "drop_schemas": drop_schemas,
    "rows": rows,
    "columns": columns,
    "mark_schema": mark_schema,
    "clone": clone,
    "make": make,
    "marked_schemas": marked_schemas,
    "drop_marked": drop_marked,
}


def hashed(value: Any) -> bytes:
    """The hash of one value.

    Floating point numbers count to 12 digits: sums that a warehouse adds up in parallel differ in
    the last ones.
    """
    if value is None:
        text = "null"
    elif isinstance(value, float):
        text = f"float {value:.12g}"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        text = f"bytes {bytes(value).hex()}"
    else:
        text = f"{type(value).__name__} {value}"
    return _hash(text.encode("utf-8", "surrogatepass"))


def _hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_DIGEST).digest()


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in patterns)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _read(adapter: Any, sql: str) -> tuple[list[str], Iterator[Any]]:
    """Names of the columns, and the rows one by one."""
    add_query = getattr(adapter.connections, "add_query", None)
    if add_query is None:  # BigQuery has no cursor
        _, table = adapter.execute(sql, fetch=True)
        return list(table.column_names), iter(table.rows)
    _, cursor = add_query(sql)
    return [column[0] for column in cursor.description], _fetched(cursor)


def _fetched(cursor: Any) -> Iterator[Any]:
    while True:
        rows = cursor.fetchmany(_ROWS)
        if not rows:
            return
        yield from rows
