"""What uploading the logs of a run costs its supervisor: to a real S3 server on this machine.

The time to hand a log over is what a node may wait; the CPU is that of all threads that upload.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import Target, give_up, parser, verdict, workshop

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.app.uploads import Uploads
from tests.s3_server import serving


def main() -> int:
    options = parser(__doc__, rounds=5)
    options.add_argument("--logs", type=int, default=500, help="of each round; default 500")
    given = options.parse_args()
    rounds: list[tuple[float, float]] = []  # seconds, for one log
    with workshop(given.folder) as folder, serving() as server:
        os.environ.update(server.environ)
        log = folder / "a.log"
        log.write_text("12:00:00.000  create or replace table\n" * 100)
        place = open_artifacts(server.bucket(), "acme/shop", folder)
        for run_id in ("imports", *(f"round-{number}" for number in range(given.rounds))):
            count = 1 if run_id == "imports" else given.logs
            handing, cpu, wall = upload(Uploads(place, run_id, read=_read, warn=print), log, count)
            print(f"{run_id}: {count} logs in {wall:.1f} s, {cpu:.1f} s of CPU")
            if run_id != "imports":
                rounds.append((handing / count, cpu / count))
    return verdict(
        [
            Target(
                name="to hand a log over",
                value=median(one for one, _ in rounds) * 1e6,
                limit=100,
                unit=" µs",
            ),
            Target(
                name="CPU of an upload",
                value=median(one for _, one in rounds) * 1e3,
                limit=10,
                unit=" ms",
            ),
        ],
        check=given.check,
    )


def upload(uploads: Uploads, log: Path, count: int) -> tuple[float, float, float]:
    """Seconds that handing over, the processors and all of it took."""
    cpu, began = time.process_time(), time.perf_counter()
    for number in range(count):
        uploads.add(f"nodes/model.{number}.1.log", log)
    handed = time.perf_counter()
    done = uploads.finish(600)
    if done.files != count:
        give_up(f"{done.left} logs were not uploaded: {done.error}")
    return handed - began, time.process_time() - cpu, time.perf_counter() - began


def _read(path: Path) -> list[bytes]:
    return [path.read_bytes()]


if __name__ == "__main__":
    sys.exit(main())
