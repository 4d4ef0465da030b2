"""How good and how cheap the forecast of deadlines is, on synthetic days.

Pipelines of several shapes run daily with noisy lognormal durations, on one day in ten everything
takes 1.3 to 2.5 times as long, and deadlines are 1.05 to 1.35 times the median end. Each day is
played by the run itself in virtual time, watched by what watches real runs. A miss is foreseen when
it is told before the deadline passes; an alarm is false when the run is in time after all.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from statistics import median

from measure import Target, verdict

sys.path.insert(0, str(Path(__file__).parents[1]))

from dbtorch.core.model.graph import Graph, Kind, Node
from dbtorch.core.model.policy import Policy
from dbtorch.core.plan import THREADS, Plan
from dbtorch.core.run.forecast import Forecast
from tests.days import START, Told, days, pipelines


def main() -> int:
    options = ArgumentParser(description=__doc__)
    options.add_argument("--pipelines", type=int, default=20)
    options.add_argument("--days", type=int, default=30, help="of each pipeline")
    options.add_argument("--seconds", type=float, default=60.0, help="about what a node takes")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    given = options.parse_args()
    told: list[Told] = []
    for pipeline in pipelines(given.seed, given.pipelines, seconds=given.seconds):
        told += days(pipeline, given.days)
    missed = [day for day in told if day.missed is not None]
    alarms = [day for day in told if day.at_risk is not None]
    false = sum(day.false for day in told)
    leads = [(day.missed or 0.0) - (day.at_risk or 0.0) for day in missed if day.caught]
    print(f"{len(told)} runs, {len(missed)} missed their deadline, {len(alarms)} alarms")
    print(f"told {median(leads):.0f} s before the deadline in the median")
    caught = sum(day.caught for day in missed) / len(missed)
    return verdict(
        [
            Target(name="misses foreseen", value=caught, limit=0.95, at_least=True),
            Target(
                name="alarms in runs that were in time",
                value=false / (len(told) - len(missed)),
                limit=0.05,
            ),
            Target(name="alarms that were false", value=false / len(alarms), limit=0.05),
            Target(name="one forecast at 2,000 nodes, s of CPU", value=cost(2000), limit=0.05),
        ],
        check=given.check,
    )


def cost(size: int) -> float:
    """Seconds of CPU of one forecast of a run that has just begun."""
    nodes = [Node(id=f"m{place}", kind=Kind.MODEL, name=f"m{place}") for place in range(size)]
    edges = [
        (f"m{parent}", f"m{place}")
        for place in range(1, size)
        for parent in {max(0, place - step) for step in (7, 31, 110)}
    ]
    policies = {node.id: Policy(slots={THREADS: 1}) for node in nodes}
    plan = Plan(graph=Graph(nodes, edges), policies=policies, pools={THREADS: 8})
    forecast = Forecast(plan, {node.id: (10.0, 12.0, 9.0, 11.0) for node in nodes})
    taken = []
    for _ in range(9):
        before = time.process_time()
        forecast.outlook(START, [""])
        taken.append(time.process_time() - before)
    return median(taken)


if __name__ == "__main__":
    sys.exit(main())
