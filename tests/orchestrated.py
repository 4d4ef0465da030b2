"""A project that ends in every way, which every orchestrator has to end the same way.

A retry, a failure that passes once somebody has mended it, one that does not, a test that fails, one
that warns, a gate that stays closed, and steps before and after dbt.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tests.acceptance.workspace import Workspace

FILES = {
    "dbtorch.yml": f"""
        engine: {{python: {sys.executable}}}
        freshness: {{default: {{on_stale: skip}}}}
        steps:
          flaky:
            command: 'test -e second || {{ touch second; exit 75; }}'
            retries: 1
            retry_delay: 0.1s
            owner: data-eng
            runbook: docs/flaky.md
          ingest:
            sql: create schema if not exists raw; create or replace table raw.loads as select 1 as id
            produces: source:raw.loads
            after: [step:flaky]
          old:
            sql: create schema if not exists raw; create or replace table raw.old as select timestamp '2020-01-01' as loaded_at
            produces: source:raw.old
            after: [step:ingest]
          once: {{command: 'test -e mended || {{ touch mended; false; }}', after: [b], retries: 0}}
          then: {{command: 'true', after: [step:once]}}
          push: {{command: echo pushed, after: [b]}}
        pipelines:
          daily: {{schedule: {{cron: "0 6 * * *", timezone: Europe/Berlin}}}}
          closed: {{schedule: {{cron: "0 12 * * *", blackout: ["22:00-06:00"]}}}}
    """,
    "docs/flaky.md": "Wait a moment, then clear the task.\n",
    "models/schema.yml": """
        sources:
          - name: raw
            tables:
              - name: loads
              - name: old
                config: {loaded_at_field: loaded_at, freshness: {error_after: {count: 1, period: day}}}
        models:
          - {name: a, description: What was loaded., columns: [{name: id, data_tests: [not_null]}]}
          - name: b
            columns:
              - name: id
                data_tests:
                  - accepted_values: {arguments: {values: [2]}, config: {severity: warn}}
          - name: c
            columns: [{name: id, data_tests: [{accepted_values: {arguments: {values: [3]}}}]}]
    """,
    "models/a.sql": "select id from {{ source('raw', 'loads') }}",
    "models/marts/b.sql": "select id from {{ ref('a') }}",
    "models/marts/c.sql": "{{ config(materialized='table') }} select id from {{ ref('a') }}",
    "models/marts/after_c.sql": "select id from {{ ref('c') }}",
    "models/marts/bad.sql": "select nope from {{ ref('a') }}",
    "models/marts/after_bad.sql": "select * from {{ ref('bad') }}",
    "models/marts/stale.sql": "select loaded_at from {{ source('raw', 'old') }}",
    "models/marts/after_stale.sql": "select loaded_at from {{ ref('stale') }}",
}

#: Where each node ends, and after how many attempts, the first time.
ENDS = {
    "flaky": ("success", 2),
    "ingest": ("success", 1),
    "old": ("success", 1),
    "raw.old": ("skipped", 1),
    "a": ("success", 1),
    "not_null_a_id": ("success", 1),
    "b": ("success", 1),
    "accepted_values_b_id__2": ("warn", 1),
    "push": ("success", 1),
    "once": ("failed", 1),
    "then": ("upstream_failed", 0),
    "c": ("success", 1),
    "accepted_values_c_id__3": ("failed", 1),
    "after_c": ("upstream_failed", 0),
    "bad": ("failed", 1),
    "after_bad": ("upstream_failed", 0),
    "stale": ("skipped", 0),
    "after_stale": ("skipped", 0),
}

#: What is built then.
WAREHOUSE = [
    ("a", "VIEW"),
    ("b", "VIEW"),
    ("c", "BASE TABLE"),
    ("loads", "BASE TABLE"),
    ("old", "BASE TABLE"),
]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has left."""

    state: str
    ends: dict[str, tuple[str, int]]  # state and attempts, by name
    warehouse: list[tuple[str, str]]  # relations and what they are


#: What `dbtorch run` leaves, and so does everybody else.
EXPECTED = Seen("failed", ENDS, WAREHOUSE)


def seen(workspace: Workspace, run: str = "latest") -> Seen:
    """What a run of the project has left."""
    shown = workspace.show(run)
    relations = workspace.query(
        "select table_name, table_type from information_schema.tables"
        " where table_name not like 'dbt_%' order by all"
    )
    ends = {name: (state, shown.tries[name]) for name, state in shown.states.items()}
    return Seen(shown.state, ends, [(str(name), str(kind)) for name, kind in relations])
