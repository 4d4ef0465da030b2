"""Runs of `dbtorch ci` beside each other on one Postgres, and what is left of one that is killed."""

from __future__ import annotations

import signal
from uuid import uuid4

import psycopg
import pytest

from tests.acceptance.workspace import Workspace
from tests.sessions import on_postgres
from tests.waiting import eventually

#: A table whose statement waits for a lock, and says who built it.
BRANCH = """
    {{ config(materialized='table') }}
    select pg_advisory_xact_lock_shared({{ env_var('LOCK') }})::text as waited,
      '{{ env_var("WHO") }}' as who, n from {{ ref('base') }}
"""


@pytest.mark.postgres
def test_pull_requests_do_not_touch_each_other_and_one_that_is_killed_leaves_nothing(
    workspace: Workspace, postgres_database: str
) -> None:
    schema = f"shop_{uuid4().hex[:8]}"
    profile = {**on_postgres(postgres_database), "schema": schema, "threads": 2}
    outputs = {"ci": {**profile, "schema": f"{schema}_ci"}, "prod": profile}
    workspace.write(
        {
            "dbtorch.yml": "pipelines: {daily: {production: true, target: prod}}",
            "profiles.yml": f"shop: {{target: ci, outputs: {outputs!r}}}".replace("'", '"'),
            "models/base.sql": "select 1 as n",
            "models/slow.sql": "{{ config(materialized='table') }} select 'prod' as who, 1 as n",
        }
    )
    workspace.dbtorch("run", "-p", "daily", "-q")
    workspace.write({"models/slow.sql": BRANCH})
    lock = str(uuid4().int % 10**9)

    with psycopg.connect(postgres_database, autocommit=True) as connection:

        def ask(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql).fetchall()  # type: ignore[arg-type]

        def waiting() -> int:
            said = "select 1 from pg_locks where locktype = 'advisory' and not granted"
            return len(ask(f"{said} and objid = {lock}"))

        def ci(pr: str, who: str) -> tuple[tuple[str, ...], dict[str, str]]:
            words = ("ci", "--pr", pr, "--target-path", f"target_{who}")
            return words, {"WHO": who, "LOCK": lock}

        def built() -> dict[str, set[str]]:
            found = ask(
                "select table_schema, table_name from information_schema.tables"
                f" where table_schema like '{schema}%'"
            )
            names = {str(name).removeprefix(schema) for name, _ in found}
            return {
                name: {str(table) for one, table in found if one == f"{schema}{name}"}
                for name in names
            }

        # two at once, in the middle of what they build
        ask(f"select pg_advisory_lock({lock})")
        (first, ann), (second, bo) = ci("1", "ann"), ci("2", "bo")
        with (
            workspace.started(*first, env=ann) as one,
            workspace.started(*second, env=bo) as other,
        ):
            assert eventually(lambda: waiting() == 2), one.out + other.out
            ask(f"select pg_advisory_unlock({lock})")
            ends = (one.ended(), other.ended())
        for end in ends:
            assert "It works: 1 node done" in end.out
            assert "who differs" in end.out or "1 added; 1 removed" in end.out
        assert ask(f"select who from {schema}_ci_pr_1.slow") == [("ann",)]
        assert ask(f"select who from {schema}_ci_pr_2.slow") == [("bo",)]
        assert ask(f"select who from {schema}.slow") == [("prod",)]

        # one is killed in the middle; nothing of it runs on, and the next run is not kept waiting
        ask(f"select pg_advisory_lock({lock})")
        with workspace.started(*first, env={**ann, "WHO": "cy"}) as killed:
            assert eventually(lambda: waiting() == 1), killed.out
            killed.signal(signal.SIGKILL)
            killed.process.wait()
        ask(f"select pg_advisory_unlock({lock})")
        assert eventually(lambda: waiting() == 0)
        again = workspace.dbtorch(*first, env={**ann, "WHO": "di"})
        assert "It works: 1 node done" in again.out
        assert ask(f"select who from {schema}_ci_pr_1.slow") == [("di",)]

        # what a killed one has left is found, and nothing else is dropped
        ask(f"select pg_advisory_lock({lock})")
        with workspace.started(*ci("3", "el")[0], env={**ann, "WHO": "el"}) as killed:
            assert eventually(lambda: waiting() == 1), killed.out
            killed.signal(signal.SIGKILL)
            killed.process.wait()
        ask(f"select pg_advisory_unlock({lock})")
        assert "_ci_pr_3" in built()
        words = ("ci", "cleanup", "--pr", "3", "--pr", "1", "--yes")
        dropped = workspace.dbtorch(*words, env=ann).out
        assert dropped.count("dropped") == 2, dropped
        assert built() == {
            "": {"base", "slow"},
            "_ci_pr_2": {"dbtorch_ci", "slow"},
        }
