"""Random dbt projects: the same seed writes the same project."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.parity.project import PROJECTS

_PROJECT = """\
name: random_dag
version: "1.0"
profile: parity
flags:
  send_anonymous_usage_stats: false
  require_generic_test_arguments_property: true
"""

_MACROS = """\
{% test below(model, column_name, bound) %}
  select {{ column_name }} from {{ model }} where {{ column_name }} >= {{ bound }}
{% endtest %}

{% test cannot_run(model, column_name) %}
  select no_such_column from {{ model }}
{% endtest %}

{% macro refuse() %}
  {% if execute %}{{ exceptions.raise_compiler_error('refused') }}{% endif %}
{% endmacro %}
"""

#: Materialization -> how often, relative to the others.
_MATERIALIZED = {"view": 3, "table": 3, "incremental": 2, "ephemeral": 2, "snapshot": 1}

#: How a model fails -> how often, relative to the others.
_FAILURES = {
    "": 80,  # not at all
    "sql": 2,  # when it is planned
    "cast": 1,  # when rows are written
    "compile": 1,  # before there is any SQL
    "later": 2,  # incremental models: on the second run
    "post_hook": 1,  # after the rows were written
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vertex:
    name: str
    materialized: str
    parents: tuple[str, ...] = ()
    failure: str = ""
    added: int = 0  # to the largest value of its parents
    tests: list[dict[str, object] | str] = field(default_factory=list)


def generate(folder: Path, seed: int) -> None:
    """Write a project of 10 to 40 models into an existing, empty folder."""
    random = Random(seed)
    vertices = _vertices(random)
    for name in ("models", "macros", "seeds", "snapshots"):
        (folder / name).mkdir()
    (folder / "dbt_project.yml").write_text(_PROJECT)
    (folder / "profiles.yml").write_text((PROJECTS / "failures" / "profiles.yml").read_text())
    (folder / "macros" / "macros.sql").write_text(_MACROS)
    for vertex in vertices:
        _write(folder, vertex, random)
    unit_tests = _unit_tests(vertices, random)
    _write_properties(folder, vertices, unit_tests)


def _vertices(random: Random) -> list[_Vertex]:
    found = [_Vertex(name=f"seed_{i}", materialized="seed") for i in range(random.randint(1, 3))]
    for i in range(random.randint(10, 40)):
        materialized = _pick(random, _MATERIALIZED)
        # near parents make chains, far ones make it wide
        near = found[-6:] if random.random() < 0.6 else found
        parents = random.sample(near, k=min(len(near), random.choice((1, 1, 2, 3))))
        if materialized == "snapshot":
            parents = [parent for parent in parents if parent.materialized != "ephemeral"][:1]
            materialized = "snapshot" if parents else "view"
            parents = parents or [found[0]]
        found.append(
            _Vertex(
                name=f"node_{i:02}",
                materialized=materialized,
                parents=tuple(parent.name for parent in parents),
                failure="" if materialized == "snapshot" else _pick(random, _FAILURES),
                added=random.randint(1, 9),
            )
        )
    for vertex in found:
        vertex.tests.extend(_tests(vertex, found, random))
    return found


def _pick(random: Random, weights: dict[str, int]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def _tests(
    vertex: _Vertex, vertices: list[_Vertex], random: Random
) -> list[dict[str, object] | str]:
    found: list[dict[str, object] | str] = []
    if random.random() < 0.4:
        found.append("not_null")
    if vertex.materialized == "seed":  # everything is below a seed
        return found
    if random.random() < 0.12:
        severity = random.choice(("warn", "error"))
        found.append(
            {
                "below": {
                    "arguments": {"bound": random.randint(1, 5)},
                    "config": {"severity": severity},
                }
            }
        )
    if random.random() < 0.02:
        found.append("cannot_run")
    if random.random() < 0.2:
        other = random.choice(vertices).name
        severity = random.choice(("warn", "error"))
        found.append(
            {
                "relationships": {
                    "arguments": {"to": f"ref('{other}')", "field": "id"},
                    "config": {"severity": severity},
                }
            }
        )
    return found


def _write(folder: Path, vertex: _Vertex, random: Random) -> None:
    if vertex.materialized == "seed":
        rows = "".join(f"{i},{random.randint(1, 50)}\n" for i in range(1, random.randint(3, 6)))
        (folder / "seeds" / f"{vertex.name}.csv").write_text("id,v\n" + rows)
    elif vertex.materialized != "snapshot":
        (folder / "models" / f"{vertex.name}.sql").write_text(_sql(vertex, random))


def _sql(vertex: _Vertex, random: Random) -> str:
    config = {"materialized": f"'{vertex.materialized}'"}
    if vertex.materialized == "incremental":
        config["unique_key"] = "'id'"
    if vertex.failure == "post_hook":
        config["post_hook"] = "'insert into never_created values (1)'"
    if random.random() < 0.2:
        config["schema"] = "'elsewhere'"
    if random.random() < 0.3:
        config["tags"] = "['odd']"
    value = {
        "sql": "max(no_such_column)",
        "cast": "max(cast('not a number ' || cast(v as varchar(9)) as integer))",
        "compile": "{{ refuse() }}",
        "later": "{% if is_incremental() %}max(no_such_column){% else %}max(v){% endif %}",
    }.get(vertex.failure, "max(v)")
    rows = " union all ".join(f"select id, v from {{{{ ref('{p}') }}}}" for p in vertex.parents)
    # some rows are dropped on the way, so that relationships can fail
    kept = f"where id <> {random.randint(1, 4)}" if random.random() < 0.15 else ""
    settings = ", ".join(f"{key}={value}" for key, value in config.items())
    return (
        f"{{{{ config({settings}) }}}}\n"
        f"select id, {value} + {vertex.added} as v\nfrom ({rows}) as parents {kept}\ngroup by id\n"
    )


def _unit_tests(vertices: list[_Vertex], random: Random) -> list[dict[str, object]]:
    kinds = {vertex.name: vertex.materialized for vertex in vertices}
    found: list[dict[str, object]] = []
    for vertex in vertices:
        # given rows need columns, which dbt asks the parent's relation for
        testable = vertex.materialized not in ("seed", "snapshot", "ephemeral") and all(
            kinds[parent] != "ephemeral" for parent in vertex.parents
        )
        if not testable or random.random() > 0.25:
            continue
        for number in range(random.choice((1, 1, 2))):
            wrong = 100 if random.random() < 0.2 else 0
            found.append(_unit_test(vertex, number, wrong))
    return found


def _unit_test(vertex: _Vertex, number: int, wrong: int) -> dict[str, object]:
    return {
        "name": f"adds_{number}_{vertex.name}",
        "model": vertex.name,
        "overrides": {"macros": {"is_incremental": False}},
        # ids start behind those that a model may drop
        "given": [
            {"input": f"ref('{parent}')", "rows": [{"id": 7, "v": 10}]} for parent in vertex.parents
        ],
        "expect": {"rows": [{"id": 7, "v": 10 + vertex.added + wrong}]},
    }


def _write_properties(
    folder: Path, vertices: list[_Vertex], unit_tests: list[dict[str, object]]
) -> None:
    """JSON is YAML, and it is deterministic."""
    properties: dict[str, list[dict[str, object]]] = {"models": [], "seeds": [], "snapshots": []}
    for vertex in vertices:
        entry: dict[str, object] = {"name": vertex.name}
        if vertex.tests:
            entry["columns"] = [{"name": "id", "data_tests": vertex.tests}]
        if vertex.materialized == "snapshot":
            entry["relation"] = f"ref('{vertex.parents[0]}')"
            entry["config"] = {"unique_key": "id", "strategy": "check", "check_cols": ["v"]}
        section = {"seed": "seeds", "snapshot": "snapshots"}.get(vertex.materialized, "models")
        properties[section].append(entry)
    for section, entries in properties.items():
        if entries:
            text = json.dumps({section: entries}, indent=1)
            (folder / section / f"{section}.yml").write_text(text)
    if unit_tests:
        text = json.dumps({"unit_tests": unit_tests}, indent=1)
        (folder / "models" / "unit_tests.yml").write_text(text)
