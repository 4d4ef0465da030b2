"""Fixtures that several suites share."""

import os
import time

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

os.environ["TZ"] = "UTC"  # people read times in the machine's zone, and a test says which that is
time.tzset()

pytest_plugins = [
    "tests.dbt2",
    "tests.engines",
    "tests.postgres",
    "tests.s3_server",
    "tests.shown",
    "tests.stores",
    "tests.zygote.plugin",
    "tests.leaks",
]

#: The same inputs each time and on each machine, however slow it is: who plays dice finds new ones
#: with --hypothesis-profile=default.
settings.register_profile(
    "fixed",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fixed")

# It would parse every module of dbtorch that is imported, for seconds in each process of pytest, and
# put what they hold into inputs: these would depend on which tests a process has run before.
providers._get_local_constants = lambda: providers._local_constants
