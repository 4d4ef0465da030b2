"""A real `serve` in a process of its own, whose pipelines are due every few seconds.

Its runs are short programs (`tests.serving.run`) that keep to what a run does: take the lease of the
pipeline, begin with the token of the tick, end. `SKEW` sets this machine's clock wrong, in seconds.
"""

import os
import sys

from dbtorch.schedule.serve import ServeOptions, serve
from tests.serving.runner import PROGRAM
from tests.serving.skew import skew


def main():
    skew(float(os.environ.get("SKEW", "0")))
    given = dict(one.split("=", 1) for one in sys.argv[1:])
    options = ServeOptions(
        project_dir=given["project"],
        database_url=given["url"],
        max_runs=int(given.get("max_runs", "8")),
        program=PROGRAM if "RUNNER" in os.environ else (sys.executable, "-m", "tests.serving.run"),
        port=0 if "http" in given else None,
    )
    sys.exit(serve(options))


if __name__ == "__main__":
    main()
