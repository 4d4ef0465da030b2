"""`dbtorch ci --lint` and `dbtorch validate`: what can be told of a project without a warehouse."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.workspace import Workspace

FILES = {
    "shop/dbt_project.yml": "{name: shop, version: '1.0', profile: shop}",
    "shop/profiles.yml": """
        shop: {target: dev, outputs: {dev: {type: duckdb, path: warehouse.duckdb}}}
    """,
    "shop/models/orders.sql": "select 1 as id",
    "shop/models/kpi.sql": "select * from {{ ref('orders') }}",
    "shop/models/schema.yml": """
        models:
          - name: orders
            columns: [{name: id, data_tests: [unique]}]
          - name: kpi
            config: {meta: {dbtorch: {runbook: kpi.md}}}
        exposures:
          - {name: board, type: dashboard, owner: {name: Ann}, depends_on: [ref('kpi')]}
    """,
}

UNTESTED = "models/schema.yml:4: warning: model kpi has no test: add one, or a check [untested]"
UNOWNED = (
    "models/schema.yml:4: warning: model kpi is read by board, and nobody owns it: give it"
    " meta.dbtorch.owner or a group [unowned]"
)


def test_a_project_is_looked_at_and_nothing_is_touched(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, FILES, bare=True)
    at = ("--project-dir", "shop")
    lint = ("ci", "--lint", *at)
    done = workspace.dbtorch(*lint)
    assert done.out.splitlines() == [UNTESTED, UNOWNED, "OK: 2 findings"]
    assert ", 2 findings (`dbtorch ci --lint` lists them)" in workspace.dbtorch("validate", *at).out

    # what is known counts no more; what is new does, at its line in the repository
    known = ("--baseline", "known.json")
    assert "there is no baseline known.json" in workspace.refused(*lint, *known)
    written = workspace.dbtorch(*lint, *known, "--update-baseline")
    assert written.out == "OK: 0 new findings; 2 in the baseline\n"
    workspace.write({"shop/models/new.sql": "select 2 as id"})
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(workspace.dir)}
    report = ("--code-quality", "quality.json")
    new = workspace.dbtorch(*lint, *known, *report, code=1, env=github)
    assert new.out.splitlines() == [
        "models/new.sql: warning: model new has no test: add one, or a check [untested]",
        "Not OK: 1 new finding; 2 in the baseline",
        "::warning file=shop/models/new.sql,line=1,title=new"
        "::model new has no test: add one, or a check",
    ]
    (quality,) = json.loads((workspace.dir / "quality.json").read_text())
    assert quality["location"] == {"path": "shop/models/new.sql", "lines": {"begin": 1}}

    # a project that does not fit together fails with all that is known of it
    workspace.write(
        {
            "shop/models/new.sql": "{{ config(meta={'dbtorch': {'retires': 1}}) }} select 2 as id",
            "shop/dbtorch.yml": """
                lint: {untested: error}
                steps:
                  load:
                    command: ["true", "{{ run.idd }}"]
                    produces: source:gone.orders
            """,
        }
    )
    broken = workspace.dbtorch(*lint, *known, "--format", "json", code=2).json()
    places = {(one["path"], one["line"]) for one in broken["findings"]}
    assert ("models/new.sql", 1) in places
    assert {(path, line > 0) for path, line in places} >= {("dbtorch.yml", True)}
    said = " ".join(one["text"] for one in broken["findings"])
    for part in ("there is no run.idd", "retires", "source:gone.orders"):
        assert part in said
    assert broken["ok"] is False

    workspace.write({"shop/dbtorch.yml": "lint: {untested: error, unowned: ignore}"})
    workspace.write({"shop/models/new.sql": "select * from {{ ref('gone') }}"})
    parse = workspace.dbtorch(*lint, code=2, env=github).out
    assert parse.startswith("models/new.sql: error: Compilation Error")
    assert "::error file=shop/models/new.sql,line=1,title=broken::Compilation Error" in parse
    (workspace.dir / "shop/models/new.sql").unlink()
    weighty = workspace.dbtorch(*lint, code=1).out
    assert weighty == f"{UNTESTED.replace('warning', 'error')}\nNot OK: 1 finding\n"
    assert not list(tmp_path.rglob("*.duckdb"))

    assert "--junit and --lint do not go together: --lint builds nothing" in workspace.refused(
        *lint, "--junit", "x.xml"
    )
    assert "--baseline is of --lint" in workspace.refused("ci", *known)
