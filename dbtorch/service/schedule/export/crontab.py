"""Schedules as lines of a crontab."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta

from dbtorch.core.schedule.rules import Overlap
from dbtorch.core.text import durations
from dbtorch.service.schedule.export.exported import Exported, Pipelines, Timed, unsaid

WHERE = "a crontab"

#: Longest time that a line waits for the run before.
_WAIT = timedelta(days=1)


def crontab(pipelines: Pipelines, now: datetime, *, dbtorch: str) -> Exported:
    """Lines for `crontab -e`; ``dbtorch`` is where the command is."""
    lines = [
        "# Made by `dbtorch export cron`: make it again when dbtorch.yml changes. What the machine",
        "# sleeps through does not run. CRON_TZ is for cronie (Fedora, RHEL, Arch). Debian's and",
        "# BusyBox' cron take it for a variable, and go by the machine's zone, whatever it says.",
        "SHELL=/bin/sh",
    ]
    said: list[str] = []
    for one in pipelines.timed:
        mine = [*unsaid(one, WHERE, now, catches_up=False), *_overlap(one)]
        said += mine
        lines += ["", *(f"# {sentence}" for sentence in mine)]
        lines.append(f"CRON_TZ={one.schedule.timezone}")
        paused = "# paused: " if one.schedule.paused else ""
        command = _command(pipelines, one, dbtorch)
        lines += [f"{paused}{cron} {command}" for cron in one.crons]
    return Exported(text="\n".join(lines), unsaid=tuple(said))


def _command(pipelines: Pipelines, one: Timed, dbtorch: str) -> str:
    words = [dbtorch, "run", "--pipeline", one.name, "--quiet"]
    if one.schedule.overlap is not Overlap.SKIP:
        wait = _WAIT if one.schedule.overlap is Overlap.QUEUE_ALL else min(one.gap, _WAIT)
        words += ["--wait", durations.text(wait.total_seconds())]
    text = f"cd {shlex.quote(str(pipelines.dir))} && {shlex.join(words)}"
    return text.replace("%", "\\%")  # which cron takes for the end of a line


def _overlap(one: Timed) -> Iterator[str]:
    if one.schedule.overlap is Overlap.CANCEL_RUNNING:
        yield (
            f"pipeline {one.name}: {WHERE} cannot cancel the run before (overlap: cancel_running);"
            " the new one waits for it"
        )
