"""Twelve branches of one repository, and what `dbtorch ci` says of each: files in `tests/golden/ci`.

DBTORCH_WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.acceptance.test_ci import Repository, profiles, tables
from tests.acceptance.warehouses import Warehouse
from tests.acceptance.workspace import Workspace

FOLDER = Path(__file__).parents[1] / "golden" / "ci"

PROJECT = """
    name: shop
    profile: shop
    flags: {send_anonymous_usage_stats: false}
    vars: {more: 1}
"""

#: Larger than what dbt knows by its content.
WIDE = "id,text\n" + "".join(f"{n},{'x' * 1024}\n" for n in range(1024))

SCHEMA = """
    sources: [{name: raw, tables: [{name: events}]}]
    groups: [{name: core, owner: {name: Bo}}]
    models:
      - {name: kpi, config: {group: core}}
      - name: orders
        config: {materialized: table}
        columns: [{name: id, data_tests: [unique]}]
      - name: places
        columns: [{name: code, data_tests: [unique]}]
    exposures:
      - {name: board, type: dashboard, owner: {name: Ann}, depends_on: [ref('kpi')]}
"""

MAIN = {
    "dbt_project.yml": PROJECT,
    ".gitignore": "loaded\ntarget\nlogs\n*.duckdb*\n.dbtorch\nprofiles.yml\ncomment.md\n",
    "dbtorch.yml": """
        defaults: {retry: {retries: 0}}
        pipelines: {daily: {production: true, target: prod}}
        steps:
          load: {command: "touch loaded", produces: [source:raw.events]}
    """,
    "seeds/wide.csv": WIDE,
    "models/counted.sql": "select count(*) + {{ var('more') }} as n from {{ ref('countries') }}",
    "seeds/countries.csv": "code,name\nde,Germany\nfr,France\nus,Us\n",
    "macros/doubled.sql": "{% macro doubled(a) %}{{ a }} * 2{% endmacro %}",
    "models/stg.sql": "select i as id, i % 7 as a from generate_series(1, 50) as t(i)",
    "models/orders.sql": "select id, a, {{ doubled('a') }} as b from {{ ref('stg') }}",
    "models/kpi.sql": "select count(*) as n from {{ ref('orders') }}",
    "models/events.sql": "select 1 as n -- {{ source('raw', 'events') }}",
    "models/places.sql": "select code, name from {{ ref('countries') }}",
    "models/other.sql": "select 1 as id",
    "models/schema.yml": SCHEMA,
}

ORDERS, DBTORCH = MAIN["models/orders.sql"], MAIN["dbtorch.yml"]

#: What each branch changes: files, None for one that is gone; and which tables it builds.
BRANCHES: dict[str, tuple[dict[str, str | None], set[str]]] = {
    "a_mart": (
        {"models/orders.sql": f"{ORDERS.replace('a,', 'a, 1 as c,')} where id <> 7"},
        {"orders", "kpi"},
    ),
    "a_broken_test": (
        {"models/orders.sql": ORDERS.replace("select id", "select id - id + 1 as id")},
        {"orders"},  # what depends on it waits for the test
    ),
    "a_macro": (
        {"macros/doubled.sql": "{% macro doubled(a) %}{{ a }} * 3{% endmacro %}"},
        {"orders", "kpi"},
    ),
    "a_comment_of_a_macro": (
        {"macros/doubled.sql": "{% macro doubled(a) %}{# twice #}{{ a }}  *  2{% endmacro %}"},
        {"orders", "kpi"},
    ),
    "a_new_model": (
        {"models/top.sql": "select max(n) as n from {{ ref('kpi') }}"},
        {"top"},
    ),
    "a_deleted_model": ({"models/places.sql": None}, set()),
    "a_renamed_model": (
        {"models/events.sql": None, "models/facts.sql": MAIN["models/events.sql"]},
        {"facts"},
    ),
    "a_seed": (
        {"seeds/countries.csv": "code,name\nde,Germany\nus,United States\nit,Italy\n"},
        {"countries", "places", "counted"},
    ),
    "a_step": ({"dbtorch.yml": DBTORCH.replace("touch", "touch more")}, {"events"}),
    "a_setting": ({"dbtorch.yml": DBTORCH.replace("retries: 0", "retries: 1")}, set()),
    "what_dbt_does_not_see": (
        {
            "dbt_project.yml": PROJECT.replace("more: 1", "more: 2"),
            "seeds/wide.csv": WIDE.replace("7,x", "7,y"),
            "models/schema.yml": SCHEMA.replace(
                ", data_tests: [unique]}]\n    exposures", "}]\n    exposures"
            ),
        },
        {"wide", "counted"},
    ),
    "nothing": ({"README.md": "A shop.\n"}, set()),
}


def told(comment: str, pr: str) -> str:
    """A comment without what is another one each time."""
    for pattern, instead in (
        (rf"_pr\\?_{pr}\b", "_pr_N"),
        (r"^<!-- .*? -->\n", ""),
        (r"of \S+ ago", "of some time ago"),
        (r"`[0-9a-f]{12}`", "`COMMIT`"),
        (r"Run `[\w-]+`", "Run `RUN`"),
        (r"\b\d+(?:\.\d+)?(?:ms|s)\b", "SECONDS"),
    ):
        comment = re.sub(pattern, instead, comment)
    return comment


def test_each_branch_is_built_compared_and_told(workspace: Workspace, warehouse: Warehouse) -> None:
    workspace.write({**MAIN, "profiles.yml": profiles(warehouse)})
    repository = Repository(workspace)
    repository.commit()
    repository.git("tag", "begun")
    repository.production()
    # main moves on, and is none of the branches' business
    repository.commit({"models/other.sql": "select 2 as id"})
    repository.production()
    (workspace.dir / "loaded").unlink()
    said, expected = {}, {}
    for pr, name in enumerate(BRANCHES, start=1):
        files, built = BRANCHES[name]
        repository.git("checkout", "-q", "-B", "change", "begun")
        gone = [file for file, text in files.items() if text is None]
        for file in gone:
            (workspace.dir / file).unlink()
        repository.commit({file: text for file, text in files.items() if text is not None})
        code = 1 if name == "a_broken_test" else 0
        done = repository.ci("--pr", str(pr), "--comment-file", "comment.md", code=code)
        said[name] = told((workspace.dir / "comment.md").read_text(), str(pr))
        assert ("Nothing that dbt builds has changed." in done.out) == (not built)
        there = {table for schema, table in tables(warehouse) if schema == f"ci_pr_{pr}"}
        assert there - {"dbtorch_ci"} == built, name
        file = FOLDER / f"{name}.md"
        if os.environ.get("DBTORCH_WRITE_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(said[name], encoding="utf-8")
        expected[name] = file.read_text(encoding="utf-8")
    different = {name: text for name, text in said.items() if text != expected[name]}
    assert different == {name: expected[name] for name in different}
    assert not (workspace.dir / "loaded").exists()  # no branch has run a step
