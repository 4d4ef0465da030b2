"""`dbt run-operation` of dbtorch's own macros: what any dbt does with SQL that is no node's."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import MARK, Lines, LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable, interrupt, stop, uncoded
from dbtorch.adapters.dbt.process.dbt_cli.line_batches import lines_of

#: The macros, and what each of them is asked as JSON:
#: - ``dbtorch_sql``: ``{"sql": …}``, which is rendered and executed;
#: - ``dbtorch_gone``: a list of ``[database, schema, identifier]``;
#: - ``dbtorch_look``: a list of ``{"relation": …, "source": …, "listed": …, "columns": …}``.
#: They answer in lines of dbt's log that begin with a mark.
MACROS = """
{% macro dbtorch_tell(what, about) %}
  {%- do log("dbtorch: " ~ tojson({"what": what, "about": about}), info=true) -%}
{% endmacro %}

{% macro dbtorch_end_with_us() %}
  {#- or Postgres would execute a query to its end whose dbt has been killed -#}
  {%- if target.type == "postgres" -%}
    {%- do run_query(
        "select set_config(name, '2s', false) from pg_settings"
        " where name = 'client_connection_check_interval' and version() like '%linux%'"
    ) -%}
  {%- endif -%}
{% endmacro %}

{% macro dbtorch_sql(asked) %}
  {%- do dbtorch_end_with_us() -%}
  {%- set sql = render(fromjson(asked)["sql"]) -%}
  {%- do dbtorch_tell("sql", sql | string) -%}
  {#- dbt 2 has no transactions on DuckDB, and half of a step would stay there -#}
  {%- if target.type == "duckdb" and not dbt_version.startswith("1.") -%}
    {%- set sql = "begin transaction;\\n" ~ sql ~ "\\n;commit" -%}
  {%- endif -%}
  {%- call statement("dbtorch_step", fetch_result=False, auto_begin=True) -%}
    {{ sql }}
  {%- endcall -%}
  {%- set answer = load_result("dbtorch_step")["response"] -%}
  {%- do adapter.commit() -%}
  {%- do dbtorch_tell("done", {
      "message": answer | string,
      "code": answer.code | string,
      "rows": answer.rows_affected | string,
  }) -%}
{% endmacro %}

{% macro dbtorch_relation(named, source_named) %}
  {%- if source_named -%}
    {{- return(source(source_named[0], source_named[1])) -}}
  {%- endif -%}
  {{- return(api.Relation.create(
      database=named["database"], schema=named["schema"], identifier=named["identifier"],
      quote_policy=named["quoting"]
  )) -}}
{% endmacro %}

{% macro dbtorch_look(asked) %}
  {%- do dbtorch_end_with_us() -%}
  {%- for one in fromjson(asked) -%}
    {%- do dbtorch_tell("begins", loop.index0) -%}
    {%- set relation = dbtorch_relation(one["relation"], one["source"]) -%}
    {%- set values = [] -%}
    {%- set columns = [] -%}
    {%- if one["listed"] -%}
      {%- set sql = "select\\n    " ~ one["listed"] ~ "\\nfrom " ~ relation -%}
      {%- do dbtorch_tell("sql", sql) -%}
      {%- set row = run_query(sql).rows[0] -%}
      {%- for value in row -%}
        {%- do values.append({
            "none": value is none, "number": value is number, "string": value is string,
            "text": value | string
        }) -%}
      {%- endfor -%}
    {%- endif -%}
    {%- if one["columns"] -%}
      {%- for column in adapter.get_columns_in_relation(relation) -%}
        {%- do columns.append([column.name | string, column.data_type | string]) -%}
      {%- endfor -%}
    {%- endif -%}
    {%- do dbtorch_tell("ends", {"values": values, "columns": columns}) -%}
  {%- endfor -%}
{% endmacro %}

{% macro dbtorch_gone(asked) %}
  {%- for database, schema, identifier in fromjson(asked) -%}
    {%- set found = adapter.get_relation(
        database=database, schema=schema, identifier=identifier
    ) -%}
    {%- if found is none -%}
      {%- do dbtorch_tell("gone", loop.index0) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- do dbtorch_tell("done", none) -%}
{% endmacro %}
"""

#: Bytes that Linux lets one argument of a program have, with room for what is around it.
MAX_BYTES = 120_000

#: What dbt puts around what is wrong, and what stands there instead. Blanks are looked at only from
#: where they begin, or a text of many would be looked at as often.
_AROUND = (
    (r"\AEncountered an error while running operation: ", ""),
    (r"(?<!\s)\s*\(in [^()\n]*:\d+:\d+\)\s*(?=\n|\Z)", ""),
    (r"(?<!\s)(?=[^\S\n]*\n)\s*--> [^\n]*(?=\n|\Z)", ""),
    (r"\ARuntime Error\n\s*", ""),
    (r"(?<!\s)\s*> (?:in|called by) macro dbtorch_\w+ \([^()\n]*\)", ""),
    (r" in macro dbtorch_\w+ \([^()\n]*\)", ""),
    # dbt 2 says so of templates, and of nothing else; dbt 1 says it in this way
    (
        r"\AFailed to run operation (?:invalid operation: |not a key type: )?",
        "Compilation Error\n  ",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line that a macro of ours has written."""

    what: str
    about: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a dbt ended."""

    code: int
    errors: str  # what it said went wrong


class Operation:
    """One dbt after the other that executes a macro; can be ended from outside."""

    def __init__(
        self, executable: Executable, words: Callable[[], Sequence[str]], grace: float
    ) -> None:
        """``words`` answer where the project is that has the macros."""
        self._executable = executable
        self._words = words
        self._grace = grace
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.interrupted = False
        self.killed_for = ""

    def run(self, macro: str, asked: Any, heard: Callable[[Mark | LogMessage], None]) -> Ended:
        """Execute a macro and tell what it says. Raises `EngineError`; `ValueError` for too much.

        One that is interrupted before it begins does not begin.
        """
        args = arguments(asked)
        if len(args) > MAX_BYTES:
            raise ValueError(f"it is too long for dbt ({len(args):,} bytes)")
        words = ("run-operation", macro, "--args", args, *self._words())
        with self._lock:
            if self.interrupted:
                return Ended(code=1, errors="")
            self._process = process = self._executable.start(words)
        if self.killed_for:  # while it was being started
            stop(process, signal.SIGKILL)
        hide = self._executable.hide
        reader, errors = Lines(hide), list[str]()
        with self._executable.following(process) as followed:
            for line in lines_of(process):
                said = reader.read(line)
                if not isinstance(said, LogMessage):
                    continue
                mark = _mark(said.text)
                if mark is not None and mark.what == "sql":  # for a log, and nobody's answer
                    mark = Mark(what="sql", about=hide.values(str(mark.about)))
                if mark is None and said.level == "error":
                    errors.append(bare(said.text))
                heard(mark or said)
            self._process = None
        return Ended(code=followed.code, errors="\n".join(dict.fromkeys(errors)))

    def interrupt(self) -> None:
        """Ask dbt to end, which cancels its query."""
        with self._lock:
            if self.interrupted:
                return
            self.interrupted = True
            if self._process is not None:
                interrupt(self._process, self._grace)

    def kill(self, why: str) -> None:
        """End dbt at once. Takes no lock, for signal handlers."""
        self.killed_for = self.killed_for or why
        self.interrupted = True
        if (process := self._process) is not None:
            stop(process, signal.SIGKILL)


def arguments(asked: Any) -> str:
    """What a macro is asked, for `--args`: JSON within JSON.

    dbt 1 reads it as YAML, which knows the escapes of characters beyond 16 bits otherwise.
    """
    return json.dumps({"asked": json.dumps(asked)})


def bare(text: str) -> str:
    """What the warehouse, or dbt, says went wrong, without what stands around it."""
    text = uncoded(text)
    for around, instead in _AROUND:
        text = re.sub(around, instead, text)
    return text.strip()


def literal(value: Any) -> str:
    """A value as an expression of Jinja that has no character that means anything there."""
    written = json.dumps(json.dumps(value, default=str))
    for special in "{}%#":
        written = written.replace(special, f"\\u{ord(special):04x}")
    return f"fromjson({written})"


def write(log: Callable[[], Path], text: str) -> None:
    """Put a text into a log; one that cannot be written stops nothing."""
    with contextlib.suppress(OSError), log().open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def _mark(text: str) -> Mark | None:
    if not text.startswith(MARK):
        return None
    try:
        found = json.loads(text.removeprefix(MARK))
    except ValueError:
        return None
    if not isinstance(found, Mapping) or not isinstance(found.get("what"), str):
        return None
    return Mark(what=found["what"], about=found.get("about"))
