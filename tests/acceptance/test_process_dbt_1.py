"""dbt 1 by its executable: its own script with our teller around it, or whatever else is called."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from tests.acceptance.test_head_start import expect_another_answer, kept_answer
from tests.acceptance.workspace import Workspace
from tests.engines import own

pytestmark = [pytest.mark.slow]

#: As dbt-core installs it, but for a note of each call.
SCRIPT = f"""#!{sys.executable}
import os, sys
from dbt.cli.main import cli
if __name__ == "__main__":
    with open("{{calls}}", "a") as calls:
        print(sys.argv[1], file=calls)
    sys.exit(cli())
"""

#: Nothing is known of what it calls.
WRAPPER = f"""#!/bin/sh
echo "$1" >> "{{calls}}"
exec {shlex.quote(str(own().executable))} "$@"
"""

FILES = {
    "models/first.sql": "select 1 as id",
    "models/flaky.sql": "select * from read_csv('late.csv'), {{ ref('first') }}",
    "models/last.sql": "select * from {{ ref('flaky') }}",
    "models/schema.yml": """
        models:
          - name: first
            columns: [{name: id, data_tests: [not_null]}]
    """,
}
CONFIG = """
engine: {{executable: {executable}}}
defaults: {{retry: {{on: {{code: {tries}}}, delay: 1s, max_delay: 1s, jitter: false}}}}
"""


class Shop(Workspace):
    """A project that is built by an executable of its own."""

    def install(self, script: str, *, tries: int) -> None:
        """Let it be called ``tools/dbt``."""
        executable = self.dir / "tools" / "dbt"
        executable.parent.mkdir(exist_ok=True)
        executable.write_text(script.format(calls=self.home / "calls"))
        executable.chmod(0o755)
        self.write({"dbtorch.yml": CONFIG.format(executable=executable, tries=tries)})

    def calls(self) -> list[str]:
        """The commands that dbt was given since the last time."""
        path = self.home / "calls"
        found = path.read_text().split()
        path.unlink()
        return found


@pytest.fixture
def shop(workspace: Workspace) -> Shop:
    """A project where dbt has been before."""
    shop = Shop(workspace.dir)
    shop.write(FILES)
    return shop


def test_its_own_script_is_run_once_where_nothing_has_changed(shop: Shop) -> None:
    shop.install(SCRIPT, tries=60)
    shop.write({"late.csv": "n\n1\n"})
    shop.dbtorch("run")
    assert not (shop.dir / "warehouse.duckdb.wal").exists()  # whoever copies the file has it all
    assert sorted(shop.calls()) == ["build", "list"]

    shop.dbtorch("run")
    assert shop.calls() == ["build"]
    shown = shop.show()
    assert set(shown.states.values()) == {"success"}
    assert len(shop.results()) == len(shown.states) == 4
    folder = shop.dir / ".dbtorch" / "runs" / shown.id / "dbt"
    assert (folder / "held" / "1" / "run_results.json").is_file()  # it had begun to wait
    log = shop.dbtorch("logs", "latest", "first").out
    assert 'create or replace view "warehouse"' in log or "create view" in log
    assert "SQL status: OK" in log

    expect_another_answer(kept_answer(shop))
    assert "planned again" in shop.dbtorch("run").out
    assert shop.calls() == ["build", "list"]
    assert set(shop.show().tries.values()) == {1}

    # one that fails is told while the build is under way, and another dbt is ready for it
    (shop.dir / "late.csv").unlink()
    with shop.started("run") as run:
        run.wait_for("RETRY", "flaky", "late.csv")
        shop.write({"late.csv": "n\n1\n"})
        assert run.ended().code == 0
    assert shop.show().states["last"] == "success"
    assert shop.results()["model.shop.last"] == "success"

    # words that dbt does not know are said as dbt says them
    assert "nowhere" in shop.refused("run", "--target", "nowhere")
    assert shop.is_quiet()


def test_any_other_script_is_followed_by_the_lines_that_every_dbt_prints(shop: Shop) -> None:
    shop.install(WRAPPER, tries=0)  # each call of it imports dbt
    shop.dbtorch("run", code=1)
    assert shop.calls() == ["list", "build"]
    shown = shop.show()
    assert shown.states == {
        "first": "success",
        "not_null_first_id": "success",
        "flaky": "failed",
        "last": "upstream_failed",
    }
    assert "late.csv" in json.dumps(shown.nodes["flaky"])
    assert shop.results()["model.shop.last"] == "skipped"


def test_one_that_says_nothing_is_said_so(shop: Shop) -> None:
    shop.install("#!/bin/sh\nexit 3\n", tries=1)
    said = shop.refused("run")
    assert "dbt ended with exit code 3 and without a word; `dbtorch doctor` says which" in said
    found = shop.dbtorch("doctor", code=2).out
    assert "tools/dbt does not say its version: it ends with exit code 3" in found
