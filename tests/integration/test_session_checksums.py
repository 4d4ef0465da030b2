"""What makes a node's checksum another one, for real parses of one project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.gates import in_another_process
from tests.sessions import Shop

FILES = {
    "seeds/rates.csv": "code,rate\neur,1\n",
    "macros/money.sql": """
        {% macro money(x) %}{{ cents(x) }} / 100{% endmacro %}
        {% macro cents(x) %}round({{ x }}){% endmacro %}
        {% macro unused() %}1{% endmacro %}
    """,
    "models/base.sql": "{{ config(materialized='ephemeral') }} select 1 as id, 5 as total",
    "models/orders.sql": "select id, {{ money('total') }} as total from {{ ref('base') }}",
    "models/report.sql": "select * from {{ ref('orders') }} where id < {{ var('most', 9) }}",
    "models/raw.sql": "select * from {{ source('raw', 'orders') }}",
    "models/schema.yml": """
        sources:
          - {name: raw, tables: [{name: orders}]}
        models:
          - name: orders
            description: Orders.
            config: {meta: {dbtorch: {owner: Ann}}}
            columns: [{name: id, data_tests: [not_null, {accepted_values: {arguments: {values: [1]}}}]}]
        unit_tests:
          - name: totals
            model: orders
            given: [{input: ref('base'), rows: [{id: 1, total: 500}]}]
            expect: {rows: [{id: 1, total: 5}]}
    """,
    "snapshots/history.sql": """
        {% snapshot history %}
        {{ config(unique_key='id', strategy='check', check_cols='all', schema='main') }}
        select * from {{ ref('orders') }}
        {% endsnapshot %}
    """,
}

SCHEMA = FILES["models/schema.yml"]
ORDERS = {"orders", "totals"}  # a unit test is about its model's code
PROJECT = "\nmodels: {shop: {report: {+pre_hook: 'select 1'}}}\n"

#: What is written -> whose checksum changes.
EDITS: list[tuple[dict[str, str], set[str]]] = [
    ({"models/raw.sql": FILES["models/raw.sql"]}, set()),  # saved, and nothing else
    ({"models/raw.sql": "select id from {{ source('raw', 'orders') }}"}, {"raw"}),
    ({"seeds/rates.csv": "code,rate\neur,2\n"}, {"rates"}),
    ({"models/base.sql": "{{ config(materialized='ephemeral') }} select 2 as id, 5 as total"},
     {"base", *ORDERS}),  # its code is a part of its reader's
    # a macro, two calls down
    ({"macros/money.sql": FILES["macros/money.sql"].replace("round(", "floor(")}, ORDERS),
    ({"macros/money.sql": FILES["macros/money.sql"].replace(") %}1{%", ") %}2{%")}, set()),
    ({"models/schema.yml": SCHEMA.replace("owner: Ann", "owner: Bob")}, set()),
    ({"models/schema.yml": SCHEMA.replace("description: Orders.", "description: All.")}, set()),
    ({"models/schema.yml": SCHEMA.replace("meta: {", "tags: [daily], meta: {")}, set()),
    ({"models/schema.yml": SCHEMA.replace("dbtorch: {owner: Ann}", "mask: 1")}, ORDERS),
    ({"models/schema.yml": SCHEMA.replace("meta: {", "materialized: table, meta: {")}, ORDERS),
    ({"models/schema.yml": SCHEMA.replace("meta: {", "persist_docs: {relation: true}, meta: {")},
     ORDERS),
    # it is called after what it is about, so it is another one
    ({"models/schema.yml": SCHEMA.replace("values: [1]", "values: [1, 2]")},
     {"accepted_values_orders_id__1", "accepted_values_orders_id__1__2"}),
    ({"models/schema.yml": SCHEMA.replace("total: 500", "total: 501")}, {"totals"}),
    # where it is read from, and where it is built
    ({"models/schema.yml": SCHEMA.replace("name: orders}]", "name: orders, identifier: x}]")},
     {"raw"}),
    ({"models/orders.sql": "{{ config(alias='o') }}" + FILES["models/orders.sql"]},
     {*ORDERS, "report", "history", "not_null_orders_id", "accepted_values_orders_id__1"}),
    ({"snapshots/history.sql": FILES["snapshots/history.sql"].replace("'all'", "['id']")},
     {"history"}),
    ({"dbt_project.yml": PROJECT}, {"report"}),
    ({"dbt_project.yml": "\nvars: {most: 5}\n"}, {"report"}),  # alone it asks for a var
    ({"dbt_project.yml": "\nvars: {most: 9}\nmodels: {shop: {+tags: a}}\n"}, {"report"}),
]  # fmt: skip

_PARSE = """
    import contextlib, io, json, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    import dbtorch_worker.checksums as made
    from dbt.cli.main import dbtRunner

    root, found = Path(sys.argv[1]), []
    for files in json.loads(Path(sys.argv[3]).read_text()):
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        args = ["parse", "--quiet", "--project-dir", str(root), "--profiles-dir", str(root)]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            done = dbtRunner().invoke(args)
        if not done.success:
            raise SystemExit(f"{files}: {done.exception} {said.getvalue()}")
        import yaml
        vars = (yaml.safe_load((root / "dbt_project.yml").read_text()) or {}).get("vars")
        found.append(made.checksums(done.result, vars or {}))
    print(json.dumps(found))
"""


def test_a_checksum_changes_with_what_is_built_and_with_nothing_else(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop", FILES)
    project = (shop.dir / "dbt_project.yml").read_text()
    whole = {name: (shop.dir / name).read_text() for name in FILES} | {"dbt_project.yml": project}
    steps = [whole]
    for files, _ in EDITS:
        edited = {name: _in_place(name, text, project) for name, text in files.items()}
        steps.append({**whole, **edited})
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    worker = Path(__file__).parents[2] / "dbtorch" / "adapters" / "dbt"
    said = in_another_process(_PARSE, shop.dir, worker, tmp_path / "steps.json")
    first, *others = json.loads(said)
    got = [_changed(first, other) for other in others]
    assert got == [names for _, names in EDITS]


def _in_place(name: str, text: str, project: str) -> str:
    import textwrap

    return project + text if name == "dbt_project.yml" else textwrap.dedent(text)


def _changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    found = {id for id in one.keys() | other.keys() if one.get(id) != other.get(id)}
    return {id.split(".")[3 if id.startswith("unit_test.") else 2] for id in found}
