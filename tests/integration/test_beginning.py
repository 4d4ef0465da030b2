"""What dbt-core takes for now is when the run began, in every dbt that a run starts."""

import json
import os
import subprocess
import sys

from dbtorch.adapters.dbt.bootstrap import bootstrap
from dbtorch.adapters.run_files import STARTED

BEGAN = "2026-11-29T19:54:00.250000+00:00"

ASKED = """
import json
from types import SimpleNamespace as Some
from dbt.event_time.sample_window import SampleWindow
from dbt.materializations.incremental.microbatch import MicrobatchBuilder
from dbt.tracking import User
model = Some(name="m", config=Some(incremental_strategy="microbatch", batch_size="hour"))
sample = SampleWindow.from_relative_string("3 days")
print(json.dumps([at.isoformat() for at in (
    User(None).run_started_at,
    MicrobatchBuilder(model, True, None, None).default_end_time,
    sample.end,
    sample.start,
)]))
"""


def test_windows_samples_and_run_started_at_are_those_of_the_run():
    option, begin = bootstrap("run_start", "keep_the_beginning()")
    command = [sys.executable, option, f"{begin}\n{ASKED}"]
    environ = {**os.environ, STARTED: BEGAN}
    said = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    *ends, start = json.loads(said.stdout)
    assert ends == ["2026-11-29T19:54:00.250000+00:00"] * 3
    assert start.startswith("2026-11-26T")
