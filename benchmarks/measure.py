"""Runs commands side by side, round by round, and says what they took."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path
from statistics import mean, median, stdev
from typing import NoReturn

BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a command took, in seconds."""

    wall: float
    cpu: float  # user and system, of it and of every process it started and waited for

    def __add__(self, other: Usage) -> Usage:
        return Usage(wall=self.wall + other.wall, cpu=self.cpu + other.cpu)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure, and what the project promises of it."""

    name: str
    value: float
    limit: float
    error: float = 0.0  # standard error of the value, where it is known
    unit: str = ""
    at_least: bool = False  # the limit is a floor

    @property
    def reached(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "reached" if self.reached else "MISSED"
        error = f" ± {self.error:.2g}" if self.error else ""
        value = f"{self.value:,.3g}{error}{self.unit}"
        return f"{self.name}: {value} (target {sign} {self.limit:,g}): {verdict}"


def parser(description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    options.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options.add_argument("--dbtorch", type=shlex.split, default=[str(BIN / "dbtorch")])
    options.add_argument("--dbt", type=shlex.split, default=[str(BIN / "dbt")])
    options.add_argument("--folder", type=Path, help="keep projects and logs here; must be new")
    return options


@contextlib.contextmanager
def workshop(folder: Path | None) -> Iterator[Path]:
    """A folder for projects and logs."""
    if folder is not None:
        folder.mkdir(parents=True)
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="dbtorch-bench-") as temporary:
        yield Path(temporary).resolve()


def _environ() -> dict[str, str]:
    """Ours, where Python keeps what it has compiled, as it does wherever a package is installed."""
    return {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"}


def spend(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str] | None = None,
    code: int = 0,
) -> Usage:
    """Run a command to its end. One that exits otherwise ends the benchmark."""
    with tempfile.TemporaryFile("w+") as printed:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**_environ(), **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != code:
            printed.seek(0)
            give_up(f"{printed.read()[-4000:]}\n{shlex.join(command)} failed")
    return Usage(wall=wall, cpu=used.ru_utime + used.ru_stime)


def in_turns(
    sides: Mapping[str, Callable[[], Usage]], rounds: int, *, quiet: bool = False
) -> dict[str, list[Usage]]:
    """Run every side once a round, in an order of chance.

    A machine's speed changes by itself and with what ran just before; neither is to meet one side
    more than another.
    """
    taken: dict[str, list[Usage]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        for name in random.sample(names, len(names)):
            usage = sides[name]()
            taken[name].append(usage)
            if not quiet:
                print(f"round {number + 1}  {name:<24} {usage.wall:7.2f} s, CPU {usage.cpu:7.2f} s")
    return taken


def walls(taken: Sequence[Usage]) -> float:
    """Median wall time."""
    return median(usage.wall for usage in taken)


def cpus(taken: Sequence[Usage]) -> float:
    """Median CPU time."""
    return median(usage.cpu for usage in taken)


def ratio(
    name: str,
    ours: Sequence[Usage],
    theirs: Sequence[Usage],
    *,
    limit: float,
    of: Callable[[Usage], float] = lambda usage: usage.wall,
) -> Target:
    """What one side took of what another did.

    That of the same round each time, for what slows one down mostly slows both; their geometric
    mean, and its standard error.
    """
    logs = [log(of(one) / of(other)) for one, other in zip(ours, theirs, strict=True)]
    middle = exp(mean(logs))
    error = middle * stdev(logs) / sqrt(len(logs)) if len(logs) > 1 else 0.0
    return Target(name=name, value=middle, error=error, limit=limit)


def print_medians(taken: Mapping[str, Sequence[Usage]]) -> None:
    """One line for each side."""
    rounds = len(next(iter(taken.values())))
    print(f"\n{f'medians of {rounds}':<26} {'wall':>9} {'CPU':>9}   wall from - to")
    for name, usages in taken.items():
        spread = sorted(usage.wall for usage in usages)
        print(
            f"{name:<26} {walls(usages):7.2f} s {cpus(usages):7.2f} s"
            f"   {spread[0]:.2f} - {spread[-1]:.2f}"
        )


def verdict(targets: Sequence[Target], *, check: bool) -> int:
    """Say what was reached; answers the exit code."""
    print()
    for target in targets:
        print(target)
    return 1 if check and not all(target.reached for target in targets) else 0


def require_results(project: Path, count: int) -> None:
    """Both sides must have done the same: this many nodes, and all of them well."""
    content = json.loads((project / "target" / "run_results.json").read_bytes())
    states = Counter(result["status"] for result in content["results"])
    if states["success"] + states["pass"] != count or states.total() != count:
        give_up(f"{project}: expected {count} good results, found {dict(states)}")


def give_up(why: str) -> NoReturn:
    """End the benchmark: it measured nothing."""
    print(why, file=sys.stderr)
    raise SystemExit(2)
