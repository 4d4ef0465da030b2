"""Every kind of dbt node can be tried a second time."""

from __future__ import annotations

from tests.acceptance.workspace import Workspace
from tests.engines import PROCESS_1_11, PROCESS_2, SESSION_1_11, Can, Driven, over, shows

FILES = {
    "seeds/countries.csv": "id,name\n1,DE\n",
    "models/eph.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('countries') }}",
    "models/orders.sql": "{{ config(materialized='table') }} select * from {{ ref('eph') }}",
    "models/grows.sql": "{{ config(materialized='incremental') }} select * from {{ ref('orders') }}",
    "models/all.yml": """
        models:
          - {name: orders, columns: [{name: id, data_tests: [not_null]}]}
        unit_tests:
          - name: passes_through
            model: grows
            overrides: {macros: {is_incremental: false}}
            given: [{input: ref('orders'), rows: [{id: 1}]}]
            expect: {rows: [{id: 1}]}
        exposures:
          - {name: board, type: dashboard, owner: {email: bi@example.com}, depends_on: [ref('grows')]}
    """,
    "snapshots/snap.yml": """
        snapshots:
          - name: snap
            relation: ref('orders')
            config: {unique_key: id, strategy: check, check_cols: all}
    """,
}


@over(SESSION_1_11, PROCESS_1_11, PROCESS_2)
@shows(Can.KINDS)
def test_every_kind_of_node_can_be_tried_again(workspace: Workspace, driven: Driven) -> None:
    workspace.write(FILES)
    if driven is PROCESS_2:  # tests no incremental model that was never built
        workspace.write(
            {"models/grows.sql": FILES["models/grows.sql"].replace("incremental", "view")}
        )
    workspace.dbtorch("run")
    workspace.dbtorch("rerun", "latest", "--select", "*")
    shown = workspace.show()
    assert set(shown.states.values()) == {"success"}
    assert {node["kind"] for node in shown.said["nodes"]} == {
        *("seed", "model", "test", "unit_test", "snapshot", "exposure")
    }
    assert set(shown.tries.values()) == {2}
    assert workspace.query("select count(*) from countries") == [(1,)]
