"""Writes dbt projects of any size, for benchmarks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = """\
name: bench
version: "1.0"
profile: bench
models: {bench: {+materialized: table}}
flags: {send_anonymous_usage_stats: false}
"""

DUCKDB = """\
bench:
  target: dev
  outputs:
    dev: {{type: duckdb, path: "{path}", threads: {threads}}}
"""

POSTGRES = """\
bench:
  target: dev
  outputs:
    dev:
      type: postgres
      host: "{{{{ env_var('PGHOST') }}}}"
      port: "{{{{ env_var('PGPORT', '5432') | int }}}}"
      user: "{{{{ env_var('PGUSER', 'postgres') }}}}"
      password: "{{{{ env_var('PGPASSWORD', '') }}}}"
      dbname: "{{{{ env_var('PGDATABASE') }}}}"
      schema: {schema}
      threads: {threads}
"""

SOURCE = "sources:\n  - {name: raw, schema: raw, tables: [{name: events}]}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A table of one column, made from its first parent; the other parents only come before it."""

    name: str
    parents: tuple[str, ...] = ()
    seconds: float = 0.0  # how long its query sleeps
    source: bool = False  # reads the source ``raw.events``
    file: str = ""  # reads its id from this CSV file, and fails where there is none

    @property
    def sql(self) -> str:
        """Its query."""
        first, *others = [f"{{{{ ref('{name}') }}}}" for name in self.parents] or [""]
        lines = [f"-- comes after {other}" for other in others]
        if self.file:
            lines += [f"-- comes after {first}"] if first else []
            lines += ["-- comes after {{ source('raw', 'events') }}"] if self.source else []
            lines.append(f"select id from read_csv('{self.file}')")
        elif self.seconds:
            lines += [f"-- comes after {first}"] if first else []
            lines.append(f"select 1 as id from pg_sleep({self.seconds:.2f})")
        elif first:
            lines.append(f"select id from {first}")
        elif self.source:
            lines.append("select id from {{ source('raw', 'events') }}")
        else:
            lines.append("select 1 as id")
        return "\n".join(lines) + "\n"


def layers(
    count: int, *, depth: int = 10, seed: int = 42, source: bool = False, prefix: str = "m"
) -> list[Model]:
    """Models that read one to three models of the layer before."""
    chance = random.Random(seed)
    width = max(1, count // depth)
    models: list[Model] = []
    for number in range(count):
        start = number // width * width
        before = [model.name for model in models[max(0, start - width) : start]]
        parents = chance.sample(before, min(len(before), chance.randint(1, 3)))
        name = f"{prefix}{number:05d}"
        models.append(Model(name=name, parents=tuple(parents), source=source and not parents))
    return models


def write_project(
    folder: Path, models: Iterable[Model], *, tests: int = 0, profile: str = DUCKDB, threads: int
) -> Path:
    """Write a project with a profile of its own; the first ``tests`` models have a test each."""
    models = list(models)
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(PROJECT)
    values: Mapping[str, object] = {
        "path": folder / "bench.duckdb",
        "schema": folder.name.replace("-", "_"),
        "threads": threads,
    }
    (folder / "profiles.yml").write_text(profile.format(**values))
    for model in models:
        (folder / "models" / f"{model.name}.sql").write_text(model.sql)
    tested = "".join(
        f"  - {{name: {model.name}, columns: [{{name: id, data_tests: [not_null]}}]}}\n"
        for model in models[:tests]
    )
    source = SOURCE if any(model.source for model in models) else ""
    schema = source + (f"models:\n{tested}" if tested else "")
    if schema:
        (folder / "models" / "schema.yml").write_text(schema)
    return folder
