"""Schedules as a workflow of GitHub Actions, whose clock is UTC."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from dbtorch.adapters.cron_fields import in_utc
from dbtorch.core.errors import Refused, UsageError
from dbtorch.core.model.naming import called_apart
from dbtorch.core.schedule.rules import Overlap
from dbtorch.service.schedule.export.exported import Exported, Pipelines, Timed, unsaid

WHERE = "a workflow of GitHub"

#: GitHub starts nothing more often.
_SHORTEST = timedelta(minutes=5)

_HEAD = """\
# .github/workflows/dbtorch.yml, made by `dbtorch export github`: make it again when dbtorch.yml
# changes. GitHub's clock is UTC. It starts jobs up to an hour late, may drop one at busy times, and
# stops schedules of a public repository after 60 days without a commit.
name: dbtorch
on:
  schedule:
{crons}
  workflow_dispatch:
    inputs:
      pipeline:
        type: choice
        options: [{names}]
        required: true
permissions:
  contents: read
env:
  DBTORCH_ARTIFACTS_URL: ${{{{ vars.DBTORCH_ARTIFACTS_URL }}}}
  DBTORCH_DATABASE_URL: ${{{{ secrets.DBTORCH_DATABASE_URL }}}}  # Postgres: runners keep nothing
jobs:"""

_JOB = """\
{notes}  {id}:
    if: inputs.pipeline == '{name}'{scheduled}
    runs-on: ubuntu-latest
    timeout-minutes: 240
    concurrency:
      group: dbtorch-{id}
      cancel-in-progress: {cancels}
    steps:
{clock}      - uses: actions/checkout@v4
{due}      - uses: actions/setup-python@v5
{due}        with: {{python-version: "3.12", cache: pip}}
      - run: pip install -r requirements.txt
{due}      - run: dbtorch run --pipeline {name} --run-id "gh-${{{{ github.run_id }}}}-{id}"
{due}"""

#: One of several lines is right, by how far the zone is ahead of UTC now.
_CLOCK = """\
      - id: clock
        name: Whether it is time by the clock of {zone}
        run: |
          test -e "/usr/share/zoneinfo/{zone}" || {{ echo "no time zone {zone} here"; exit 1; }}
          case "$(TZ={zone} date +%z) $CRON" in
            {cases}) echo "due=yes" >> "$GITHUB_OUTPUT" ;;
          esac
        env:
          CRON: ${{{{ github.event.schedule || 'by hand' }}}}
"""


def workflow(pipelines: Pipelines, now: datetime) -> Exported:
    """A workflow with a job for each pipeline. Raises `UsageError` for what UTC cannot say."""
    jobs, said, crons = [], [], dict[str, list[str]]()
    ids = called_apart({one.name: one.name for one in pipelines.timed}, _id)
    wrong: list[str] = []
    for one in pipelines.timed:
        try:
            times = _times(one)
        except Refused as error:
            said_of = f"{one.pipeline.origin}: pipeline {one.name}"
            wrong.append(f"{said_of} cannot be a schedule of GitHub: {error}")
            continue
        mine = [*unsaid(one, WHERE, now, catches_up=False), *_overlap(one)]
        said += mine
        jobs.append(_job(one, ids[one.name], times, mine))
        for cron in dict.fromkeys(cron for found in times.values() for cron in found):
            crons.setdefault(cron, []).append(one.name)
    if wrong:
        raise UsageError("\n".join(wrong))
    head = _HEAD.format(
        crons="\n".join(f'    - cron: "{cron}"  # {", ".join(of)}' for cron, of in crons.items()),
        names=", ".join(json.dumps(one.name) for one in pipelines.timed),
    )
    return Exported(text="\n".join([head, *jobs]).rstrip(), unsaid=tuple(said))


def _times(one: Timed) -> dict[int, list[str]]:
    """Cron expressions of UTC, by how many minutes the zone is ahead. Raises `Refused`."""
    if one.schedule.paused:
        return {}
    if one.gap < _SHORTEST:
        raise Refused("GitHub starts nothing more often than every 5 minutes")
    return {
        offset: [found for cron in one.crons for found in in_utc(cron, offset)]
        for offset in one.offsets
    }


def _id(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _job(one: Timed, id: str, times: dict[int, list[str]], notes: Sequence[str]) -> str:
    crons = list(dict.fromkeys(cron for found in times.values() for cron in found))
    events = ", ".join(f'"{cron}"' for cron in crons)
    always = len({frozenset(found) for found in times.values()}) < 2
    due = "" if always else "        if: steps.clock.outputs.due\n"
    return _JOB.format(
        notes="".join(f"  # {sentence}\n" for sentence in notes)
        + ("  # paused in dbtorch.yml: by hand only\n" if one.schedule.paused else ""),
        id=id,
        name=one.name,
        scheduled=f" || contains(fromJSON('[{events}]'), github.event.schedule)" if crons else "",
        cancels=str(one.schedule.overlap is Overlap.CANCEL_RUNNING).lower(),
        clock="" if always else _CLOCK.format(zone=one.schedule.timezone, cases=_cases(times)),
        due=due,
    )


def _cases(times: dict[int, list[str]]) -> str:
    found = [f'"{_ahead(offset)} {cron}"' for offset, crons in times.items() for cron in crons]
    return " | ".join([*found, '*"by hand"'])


def _ahead(minutes: int) -> str:
    """As `date +%z` says it."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}{rest:02}"


def _overlap(one: Timed) -> Iterator[str]:
    if one.schedule.overlap in (Overlap.SKIP, Overlap.QUEUE_ALL):
        yield (
            f"pipeline {one.name}: at GitHub the newest run waits for the one before"
            f" (overlap: {one.schedule.overlap} is not there)"
        )
