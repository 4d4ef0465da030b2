"""A supervisor waits for its turn on the processor; what it has started does not."""

from __future__ import annotations

import os

import pytest

from tests.acceptance.workspace import Workspace, eventually
from tests.engines import PROCESS_2, SESSION_1_11, over

FILES = {
    "models/a.sql": "select 1 as id",
    "dbtorch.yml": """
        steps:
          wait: {command: "read word < ../gate; $word", opens_database: false, retries: 0}
    """,
}


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="this system has no SCHED_BATCH")
@over(SESSION_1_11, PROCESS_2)
def test_only_the_supervisor_stands_back(workspace: Workspace) -> None:
    workspace.write(FILES)
    gate = workspace.dir.parent / "gate"
    os.mkfifo(gate)
    # dbt 2 starts in another way once a run has noted how
    for verb, word, code in (("run", "false", 1), ("run", "false", 1), ("retry", "true", 0)):
        with workspace.started(verb, "--log-format", "json") as run:
            run.wait_for_node("step.wait")
            assert eventually(workspace.dbts, seconds=20)
            steps = workspace.processes() - {run.pid, *workspace.dbts()}
            of = os.sched_getscheduler
            assert of(run.pid) == os.SCHED_BATCH
            assert {of(pid) for pid in workspace.dbts()} == {os.SCHED_OTHER}
            assert {of(pid) for pid in steps} == {os.SCHED_OTHER}
            gate.write_text(f"{word}\n")
            assert run.ended().code == code
