"""Rounds of chaos: a run is disturbed, resumed until it is over, and judged."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dbtorch.core.history.records import RunRecord
from dbtorch.core.model.state import RunState
from tests.acceptance.workspace import Done, eventually
from tests.chaos.disturbance import Kind, disturb, kinds, moment
from tests.chaos.lane import Built, Lane
from tests.chaos.verdict import deviations

#: Seconds after which a command counts as hung, at least; undisturbed it takes about 15.
_PATIENCE = 150

#: And how many times as long as an undisturbed run.
_SLOWER = 4

#: Times a run may be gone on with; each of them may be disturbed too.
_RETRIES = 8

#: Characters of the last execution of a run that is not over.
_LAST_WORDS = 2000

#: How likely a retry is disturbed as well.
_AGAIN = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What happened, and what came of it."""

    number: int
    seed: str
    lane: str
    kinds: tuple[Kind, ...]  # what happened really, in order; the first is what was meant to
    meant: Kind
    retries: int
    seconds: float
    deviations: tuple[str, ...]

    def line(self) -> str:
        """The round in one line."""
        happened = ", ".join(self.kinds) or f"nothing ({self.meant} came too late)"
        verdict = "; ".join(self.deviations) or "no deviation"
        return (
            f"{self.number:4}  {self.lane:22}  {happened}; {self.retries} retries,"
            f" {self.seconds:.0f} s: {verdict}"
        )


@dataclass(slots=True)
class Stand:
    """A lane, and what it is compared with."""

    lane: Lane
    expected: Built
    seconds: float
    changes: int = field(init=False)

    def __post_init__(self) -> None:
        self.changes = len(self.expected.record.transitions)

    @classmethod
    def of(cls, lane: Lane) -> Stand:
        """Build once, for what is to be expected."""
        expected, seconds = lane.undisturbed()
        return cls(lane, expected, seconds)


def play(
    stand: Stand, number: int, seed: str, meant: Kind | None = None, *, at_events: bool = False
) -> Round:
    """One round; the same seed disturbs at the same moments, as far as machines can.

    With ``at_events`` it does on any machine: nothing depends on how long something takes.
    """
    chance = random.Random(seed)
    meant = meant or chance.choice(kinds(stand.lane))
    begin = time.monotonic()
    stand.lane.empty(manifest_cache=chance.random() < 0.5)
    happened: list[Kind] = []
    problems: list[str] = []
    said: list[str] = []
    stretches = 0
    verb: str | None = "run"
    while verb is not None and stretches <= _RETRIES and not problems:
        kind = meant if stretches == 0 else _perhaps(stand, chance)
        problems += _stretch(stand, verb, kind, chance, happened, said, at_events=at_events)
        stretches += 1
        verb = _next(stand.lane.record())
    if verb is not None and not problems:
        last = said[-1][-_LAST_WORDS:] if said else "nothing"
        problems.append(f"not over after {stretches} executions; the last one said: {last}")
    if not problems:
        problems += deviations(stand.expected, stand.lane.built())
    return Round(
        number=number,
        seed=seed,
        lane=stand.lane.name,
        kinds=tuple(happened),
        meant=meant,
        retries=stretches - 1,
        seconds=time.monotonic() - begin,
        deviations=tuple(problems),
    )


def _perhaps(stand: Stand, chance: random.Random) -> Kind | None:
    """What disturbs a stretch that goes on with a run, if anything does."""
    return chance.choice(kinds(stand.lane)) if chance.random() < _AGAIN else None


def _next(record: RunRecord | None) -> str | None:
    """The command that goes on; None when the run is over."""
    if record is None:
        return "run"
    return None if record.state is RunState.SUCCESS else "retry"


def _stretch(
    stand: Stand,
    verb: str,
    kind: Kind | None,
    chance: random.Random,
    happened: list[Kind],
    said: list[str],
    *,
    at_events: bool,
) -> list[str]:
    """One command, disturbed or not; what is wrong with how it ended."""
    lane = stand.lane
    with lane.workspace.started(*lane.words(verb)) as run:
        if kind is not None:
            changes, seconds = stand.changes, stand.seconds
            when = moment(kind, chance, changes=changes, seconds=seconds, at_events=at_events)
            if when.come(run) and disturb(kind, lane, run, chance):
                happened.append(kind)
        try:
            done = run.ended(seconds=max(_PATIENCE, _SLOWER * stand.seconds))
        except AssertionError as error:
            return [f"{verb} showed a traceback: {error}"]
        except subprocess.TimeoutExpired:
            return [f"{verb} hangs"]
        said.append(done.out)
        killed = kind is Kind.SUPERVISOR and kind in happened[-1:]
        problems = [] if killed else _how_it_ended(verb, done)
        if not eventually(lambda: not lane.workspace.processes()):
            left = [_words(pid) for pid in lane.workspace.processes()]
            problems.append(f"{verb} left processes behind: {left}")
        return problems


def _how_it_ended(verb: str, done: Done) -> list[str]:
    if done.code == 2 and "Error: " not in done.out:
        return [f"{verb} ended with 2 and no sentence: {done.out[-300:]}"]
    return [] if done.code in (0, 1, 2) else [f"{verb} ended with {done.code}: {done.out[-300:]}"]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    except OSError:
        return "one that has just ended"


def keep(stand: Stand, round: Round, folder: Path) -> None:
    """Keep all that a round with deviations left, to look into."""
    to = folder / f"round-{round.number}"
    shutil.copytree(stand.lane.workspace.dir, to / "shop", symlinks=True)
    shutil.copytree(stand.lane.workspace.home, to / "home")
    (to / "round.txt").write_text(f"seed {round.seed}\n{round.line()}\n")


def table(rounds: Iterable[Round]) -> str:
    """Figures by warehouse and kind of disturbance."""
    rows: dict[tuple[str, str], list[Round]] = {}
    for one in rounds:
        rows.setdefault((one.lane, one.meant), []).append(one)
    lines = [
        "| warehouse | disturbance | rounds | disturbed in time | disturbances | retries"
        " | deviations |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (lane, kind), found in sorted(rows.items()):
        lines.append(_row(lane, kind, found))
    every = [one for found in rows.values() for one in found]
    lines.append(_row("**all**", "", every))
    happened = Counter(kind for one in every for kind in one.kinds)
    lines.append("")
    lines.append(", ".join(f"{kind}: {count}" for kind, count in sorted(happened.items())))
    return "\n".join(lines)


def _row(lane: str, kind: str, rounds: list[Round]) -> str:
    cells: list[Callable[[], object]] = [
        lambda: lane,
        lambda: kind,
        lambda: len(rounds),
        lambda: sum(bool(one.kinds) for one in rounds),
        lambda: sum(len(one.kinds) for one in rounds),
        lambda: sum(one.retries for one in rounds),
        lambda: sum(bool(one.deviations) for one in rounds),
    ]
    return "| " + " | ".join(str(cell()) for cell in cells) + " |"
