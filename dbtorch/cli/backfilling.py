"""Following a backfill that is driven from the command line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.cli.text.backfills import state_text
from dbtorch.cli.text.terminal import echo
from dbtorch.core.failures.scrub import Scrubber
from dbtorch.core.schedule.backfill import Backfill, BackfillState

if TYPE_CHECKING:
    from dbtorch.core.config import Config
    from dbtorch.ports.store import Store


def drive(
    store: Store, config: Config, folder: Path, one: Backfill, environ: dict[str, str], **given: Any
) -> int:
    """Run what is left of a backfill, or leave it to a `dbtorch serve`; answers the exit code."""
    from dbtorch.cli.errors import NODE_FAILED, OK, Stopped
    from dbtorch.schedule.drive import Driver, server_of
    from dbtorch.schedule.log import Log

    host = server_of(store)
    if host:
        echo(f"backfill {one.id}: `dbtorch serve` on {host} runs it; `dbtorch backfills` shows it")
        return OK
    as_json = given.get("log_format") == "json"
    said: list[str] = []

    def told(now: Backfill) -> None:
        line = state_text(now)
        if not as_json and said[-1:] != [line]:
            said.append(line)
            echo(line)

    driver = Driver(
        store=store,
        project_dir=folder,
        grace=config.grace,
        log=Log(sys.stdout if as_json else io.StringIO(), Scrubber()),
        environ=environ,
        told=told,
    )
    ended = driver.drive(one.id)
    if ended.state is BackfillState.ACTIVE:
        how = f"`dbtorch backfills resume {one.id}` goes on, here or on another machine"
        raise Stopped(driver.received, how)
    return OK if ended.state is BackfillState.DONE else NODE_FAILED  # not all of it has run
