"""What `dbtorch ci` puts into the schemas of a pull request before it builds there."""

from __future__ import annotations

from tests.acceptance.warehouses import Warehouse
from tests.acceptance.workspace import Workspace

PRODUCTION = "pipelines: {daily: {production: true, target: prod}}\n"

#: What can do without a copy is the warehouse's; of the two here neither can, until a macro says so.
CLONING = """
    {% macro default__can_clone_table() %}{{ return(true) }}{% endmacro %}
    {% macro default__create_or_replace_clone(this_relation, defer_relation) %}
      drop table if exists {{ this_relation }};
      create table {{ this_relation }} as select id, 'cloned' as made from {{ defer_relation }}
    {% endmacro %}
"""

FILES = {
    "dbtorch.yml": f"""
        version: 1
        {PRODUCTION.strip()}
        steps:
          load: {{command: "touch loaded", produces: [source:raw.events], ci: mock}}
    """,
    "models/kept.sql": """
        {{ config(materialized='incremental', unique_key='id') }}
        select id, 'production' as made from {{ source('raw', 'events') }} -- {{ source('fixed', 'events') }}
        {% if is_incremental() %} where id > 3 {% endif %}
    """,
    "models/schema.yml": """
        sources:
          - name: fixed
            schema: PRODUCTION_raw
            freshness: {error_after: {count: 24, period: hour}}
            tables: [{name: events, loaded_at_field: loaded}]
          - name: raw
            freshness: {error_after: {count: 24, period: hour}}
            schema: "{{ target.schema }}_raw"
            tables:
              - {name: events, loaded_at_field: loaded}
              - {name: new, columns: [{name: id, data_type: int}, {name: day, data_type: date}]}
              - {name: unknown}
    """,
}


def test_production_stands_in_for_what_is_not_made_again(
    workspace: Workspace, warehouse: Warehouse
) -> None:
    production = warehouse.profile["schema"]
    outputs = {"ci": {**warehouse.profile, "schema": f"{production}_ci"}, "prod": warehouse.profile}
    profiles = f"shop: {{target: ci, outputs: {outputs!r}}}".replace("'", '"')
    described = FILES["models/schema.yml"].replace("PRODUCTION", production)
    workspace.write({**FILES, "profiles.yml": profiles, "models/schema.yml": described})
    warehouse.execute(f"create schema {production}_raw")
    events = "select i as id, now() - interval '31 hours' as loaded from generate_series(3, 4) t(i)"
    warehouse.execute(f"create table {production}_raw.events as {events}")
    workspace.dbtorch("run", "-p", "daily", "-q")
    (workspace.dir / "loaded").unlink()
    place = f"{production}_ci_pr_7"

    def rows() -> list[tuple[object, ...]]:
        return warehouse.execute(f"select id, made from {place}.kept order by id")

    # its own source is production's, and so are the rows that it goes on with
    branch = FILES["models/kept.sql"].replace("'production'", "'branch'")
    workspace.write({"models/kept.sql": branch})
    copied = workspace.dbtorch("ci", "--pr", "7", "--clone", "copy")
    assert "production's table stands in for source events" in copied.err
    assert "cloned from production: kept" in copied.err
    assert (
        "fixed.events  source fixed.events is stale: 31 h, allowed 24 h" in copied.out
    )  # and built
    assert copied.out.count("is stale") == 1  # what stands in for one is as old as it may be
    assert rows() == [(3, "production"), (4, "branch")]
    assert not (workspace.dir / "loaded").exists()

    # a warehouse that can clone does; a source that production has not is empty
    second = "select * from {{ source('raw', 'new') }} where id > (select 0) -- {{ ref('kept') }}"
    steps = "produces: [source:raw.events, source:raw.new]"
    told = FILES["dbtorch.yml"].replace("produces: [source:raw.events]", steps)
    files = {"macros/cloning.sql": CLONING, "models/second.sql": second, "dbtorch.yml": told}
    workspace.write(files)
    cloned = workspace.dbtorch("ci", "--pr", "7", "--no-compare")
    assert "an empty table stands in for source new" in cloned.err
    assert rows() == [(3, "cloned"), (4, "branch")]
    assert warehouse.execute(f"select count(*), max(day) from {place}.second") == [(0, None)]

    anew = workspace.dbtorch("ci", "--pr", "7", "--full-refresh", "--freshness", "off")
    assert "cloned" not in anew.err
    assert "is stale" not in anew.out
    assert rows() == [(3, "branch"), (4, "branch")]
    listed = workspace.dbtorch("ci", "cleanup", "--pr", "7").out
    assert f"{place}_raw" in listed
    assert "2 schemas would be dropped" in listed

    # nothing is known of what it would stand in for
    workspace.write(
        {
            "models/second.sql": "select * from {{ source('raw', 'unknown') }}",
            "dbtorch.yml": told.replace("raw.new", "raw.unknown"),
        }
    )
    refused = workspace.dbtorch("ci", "--pr", "7", code=2).err
    assert "step load has `ci: mock`, and nothing can stand in for source unknown" in refused
