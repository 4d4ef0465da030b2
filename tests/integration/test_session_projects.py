"""Projects as people have them: what they use, what gets in the way, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbtorch.core.errors import EngineError
from dbtorch.core.model.state import FailureClass
from tests.parity.artifacts import invalid
from tests.sessions import Shop, session

SECRET = "hush_hush_7391"

#: Modules named like the worker's own, and like one of the standard library.
IN_THE_WAY = "raise ImportError('this is the project, not the worker')\n"

EVERYTHING = {
    "models/groups.yml": """
        groups: [{name: finance, owner: {name: Ada}}]
        models:
          - name: priced
            latest_version: 2
            config: {group: finance, access: private}
            versions: [{v: 1}, {v: 2}]
          - name: agreed
            config: {materialized: table, contract: {enforced: true}}
            columns:
              - {name: id, data_type: integer, constraints: [{type: not_null}]}
          - name: refused
            columns: [{name: id, data_tests: [{unique: {config: {store_failures: true}}}]}]
        unit_tests:
          - name: adds_up
            model: agreed
            given: [{input: ref('priced'), rows: [{id: 5}]}]
            expect: {rows: [{id: 5}]}
    """,
    "models/priced_v1.sql": "select 1 as id",
    "models/priced_v2.sql": "select 2 as id, '{{ var('needed') }}' as word",
    "models/agreed.sql": "{{ config(group='finance') }} select id from {{ ref('priced') }}",
    "models/refused.sql": "select 1 as id union all select 1",
    "models/noisy.py": """
        import sys

        def model(dbt, session):
            print('{"type": "closed"}', flush=True)
            print('{"type": "closed"}', file=sys.stderr)
            return session.sql("select 3 as id")
    """,
    "models/made_to_measure.sql": """
        {{ config(materialized='noted') }}
        {{ print('{"type": "closed"}') if execute }} {{ log('said in passing', info=true) }}
        select 4 as id
    """,
    "macros/noted.sql": """
        {% materialization noted, default %}
            {% set target_relation = this.incorporate(type='table') %}
            {% call statement('main') %} create or replace table {{ this }} as {{ sql }} {% endcall %}
            {% do adapter.commit() %}
            {{ return({'relations': [target_relation]}) }}
        {% endmaterialization %}
        {% macro note(what) %}
            create table if not exists {{ target.schema }}.notes (what text);
            insert into {{ target.schema }}.notes values ('{{ what }}')
        {% endmacro %}
    """,
    # an error that quotes what nobody may read
    "models/tells.sql": "{{ config(materialized='table') }} select error('at {{ target.schema }}')",
    "models/tells_in_python.py": f"""
        def model(dbt, session):
            raise ValueError("the password is {SECRET}")
            return session.sql("select 1")
    """,
    **{f"{name}.py": IN_THE_WAY for name in ("queue", "session", "channel", "results", "task")},
    **{f"lib/{name}.py": IN_THE_WAY for name in ("session", "channel", "events", "rows")},
}

PROJECT = """
    target-path: build/dbt
    query-comment: "asked by {{ node.name if node else 'nobody' }}"
    on-run-start: "create schema if not exists {{ target.schema }}"
    on-run-end:
      - "{{ note(graph.nodes.values() | selectattr('resource_type', 'eq', 'model') | list | length) }}"
      - "{{ note(results | map(attribute='status') | map('string') | sort | join(' ')) }}"
      - "{{ note(schemas | length ~ ' ' ~ database_schemas | length) }}"
"""


def test_a_project_with_everything(tmp_path: Path) -> None:
    target = {
        "type": "duckdb",
        "path": str(tmp_path / "shop" / "shop.duckdb"),
        "schema": "{{ env_var('DBT_ENV_SECRET_PLACE') }}",
    }
    shop = Shop(tmp_path / "shop", EVERYTHING, project=PROJECT, target=target)
    env = {"DBT_ENV_SECRET_PLACE": SECRET, "PYTHONPATH": str(shop.dir / "lib")}

    with session(shop, "--vars", "{needed: nearby}", env=env) as found:
        found.drive()

    good = {id: state for id, state in found.states.items() if state != "success"}
    (unique,) = (id for id in good if id.startswith("test.shop.unique"))
    assert good == {unique: "failed", "tells": "failed", "tells_in_python": "failed"}
    assert found.selected.target_path == shop.dir / "build/dbt"
    assert found.selected.vars["needed"] == "nearby"
    assert invalid(shop.dir / "build/dbt") == []
    assert not (shop.dir / "target").exists()

    # what is printed is on dbt's console, and what is said in the log of the node that says it
    assert found.console.count('{"type": "closed"}') == 3
    assert "said in passing" in found.log("made_to_measure")
    assert "asked by priced" in found.log("model.shop.priced.v2")

    # the warehouse
    assert shop.query(f"select id, word from {SECRET}.priced_v2") == [(2, "nearby")]
    assert shop.query(f"select id from {SECRET}.made_to_measure") == [(4,)]
    assert shop.query(f"select count(*) from {SECRET}_dbt_test__audit.unique_refused_id") == [(1,)]
    statuses = "error error fail pass success success success success success success"
    notes = [what for (what,) in shop.query(f"select what from {SECRET}.notes")]
    assert notes == ["8", statuses, "1 1"]

    # the secret
    said = [found.logs(), json.dumps([str(change.reason) for change in found.changes])]
    said += [str(outcome) for id in found.states for outcome in found.outcomes(id)]
    assert not [text for text in said if SECRET in text]
    assert "at *****" in found.outcome("tells").message
    assert found.outcome("tells").failure_class is FailureClass.DATA
    assert "the password is *****" in found.log("tells_in_python")


def test_nothing_selected_is_nothing_to_do(tmp_path: Path) -> None:
    """A unit test alone is nothing either: dbt executes it with its model."""
    files = {**EVERYTHING, "pretends/sitecustomize.py": _PRETENDS}
    shop = Shop(tmp_path / "shop", files)
    env = {"PYTHONPATH": str(shop.dir / "pretends")}
    args = ("--vars", "{needed: nearby}", "--select", "adds_up")

    with session(shop, *args, env=env) as found:
        found.drive()

    assert found.states == {}
    assert found.selected.selected == frozenset()
    assert invalid(shop.dir / "target") == ["run_results.json is missing"]
    # on the way: a version nobody knows is a warning as long as dbt's methods are the same
    (warning,) = found.engine.warnings
    assert warning.startswith("dbt-core 1.99.0 is newer or older than what dbtorch was tested with")


#: Python imports this when it starts.
_PRETENDS = """
    import importlib.metadata

    version = importlib.metadata.version
    importlib.metadata.version = lambda name: "1.99.0" if name == "dbt-core" else version(name)
"""

#: files, options, and what dbt says
REFUSED = {
    "a variable that is needed": (
        {"models/models.yml": "{models: [{name: '{{ var(\"needed\") }}'}]}"},
        (),
        "Required var 'needed' not found in config",
    ),
    "an environment variable that is needed": (
        {"models/first.sql": "select '{{ env_var('NEEDED') }}'"},
        (),
        "Env var required but not provided: 'NEEDED'",
    ),
    "nothing selected, when warnings are errors": (
        {"models/first.sql": "select 1 as id"},
        ("--warn-error", "--select", "nobody"),
        "does not match any enabled nodes",
    ),
    "a selector nobody wrote": (
        {"models/first.sql": "select 1 as id"},
        ("--selector", "nobody"),
        "Could not find selector named nobody",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_dbt_refuses_is_told_in_its_words(
    case: tuple[dict[str, str], tuple[str, ...], str], tmp_path: Path
) -> None:
    files, args, says = case
    shop = Shop(tmp_path / "shop", files)

    with session(shop, *args) as found, pytest.raises(EngineError) as refused:
        found.open()

    assert says in str(refused.value)
    assert "Traceback" not in str(refused.value)
