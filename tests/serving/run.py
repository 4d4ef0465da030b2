"""What `dbtorch run` and `retry` do for a tick, without a dbt: lease, begin, a while, end."""

import json
import os
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from itertools import pairwise

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.processes.liveness import this_host, this_process
from dbtorch.adapters.run_files import new_run_id
from dbtorch.adapters.store import open_store
from dbtorch.cli.errors import exit_code
from dbtorch.core.errors import DbtorchError, LeaseHeld
from dbtorch.core.history.records import Lease, RunRecord
from dbtorch.core.model.state import RunState
from dbtorch.service.project.project import open_project
from dbtorch.service.project.store_scope import identity_of
from tests.serving.skew import skew

#: Seconds that a run takes.
TAKES = float(os.environ.get("TAKES", "0.2"))


def main():
    skew(float(os.environ.get("SKEW", "0")))
    try:
        run(sys.argv[1:])
    except DbtorchError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


def run(words):
    options = dict(pairwise(words))
    project = open_project(options["--project-dir"])
    url = os.environ["DBTORCH_DATABASE_URL"]
    with closing(open_store(url, project.dir, identity=identity_of(project, url))) as store:
        for said in execute(store, words, os.environ["DBTORCH_TICK"]):
            print(json.dumps(said), flush=True)


def execute(store, words, token):
    """Begin and end the run that the words are about; what it says meanwhile, one by one."""
    options = dict(pairwise(words))
    earlier = store.run(words[1]) if words[0] == "retry" else None
    now = SystemClock().now()
    record = earlier or RunRecord(
        run_id=new_run_id(),
        pipeline=options["--pipeline"],
        project="shop",
        target="dev",
        logical_date=datetime.fromisoformat(options["--logical-date"]),
        data_interval_start=datetime.fromisoformat(options["--logical-date"]),
        data_interval_end=now,
        state=RunState.RUNNING,
        started_at=now,
    )
    lease = take(store, record)
    try:
        store.begin(record, [], lease=lease, tick=token)
        yield {"event": "run_started", "run_id": record.run_id}
        time.sleep(TAKES)
        store.end(record.run_id, RunState.SUCCESS, SystemClock().now(), lease=lease)
    finally:
        store.release(lease)
    yield {"event": "run_finished", "run_id": record.run_id, "state": "success"}


def take(store, record):
    now = SystemClock().now()
    lease = Lease(
        name=store.identity.lease(record.pipeline, store.identity.place("dev")),
        run_id=record.run_id,
        host=this_host(),
        pid=os.getpid(),
        process=this_process(),
        acquired_at=now,
        expires_at=now + timedelta(seconds=60),
    )
    while True:
        try:
            return store.acquire(lease)[0]
        except LeaseHeld:
            time.sleep(0.05)


if __name__ == "__main__":
    main()
