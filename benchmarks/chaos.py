"""Kills and restarts at random moments of sample-project runs, and what came of them.

Each round disturbs a run (kill -9 of the supervisor, dbt, a step; a crash and restart of
Postgres), goes on with `dbtorch retry` until the run is over (which may be disturbed too), and
compares warehouse, exports, history and artifacts with an undisturbed build. What a round with
deviations left is kept. Needs Linux, the development dependencies and a Postgres to start servers
of its own.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.chaos.lane import Lane
from tests.chaos.rounds import Stand, keep, play, table
from tests.chaos.server import own_server
from tests.engines import PROCESS_1_11, PROCESS_2, SESSION_1_11

#: Every warehouse, where the history is, and what drives dbt.
LANES = ("duckdb", "duckdb-dbt2", "postgres", "postgres-history", "postgres-process")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--first", type=int, default=1, help="number of the first round")
    options.add_argument("--seed", default=os.urandom(4).hex(), help="the same moments again")
    options.add_argument("--lane", choices=LANES, action="append", help="default: in turns")
    options.add_argument("--keep", type=Path, default=Path("chaos"), help="for what went wrong")
    given = options.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also in the background of a shell
        signal.signal(number, signal.default_int_handler)
    print(f"seed {given.seed}", flush=True)
    rounds = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbtorch-chaos-")))
        stands = [_stand(name, folder, stack) for name in given.lane or LANES]
        try:
            for number in range(given.first, given.first + given.rounds):
                stand = stands[number % len(stands)]
                played = play(stand, number, f"{given.seed}-{number}")
                rounds.append(played)
                print(played.line(), flush=True)
                if played.deviations:
                    keep(stand, played, given.keep / given.seed)
        except KeyboardInterrupt:
            print("interrupted")
    print(table(rounds))
    return int(any(played.deviations for played in rounds))


def _stand(name: str, folder: Path, stack: ExitStack) -> Stand:
    driven = {"duckdb-dbt2": PROCESS_2, "postgres-process": PROCESS_1_11}.get(name, SESSION_1_11)
    server = stack.enter_context(own_server()) if name.startswith("postgres") else None
    history = name == "postgres-history"
    return Stand.of(Lane(folder / name, server=server, history=history, driven=driven))


if __name__ == "__main__":
    sys.exit(main())
