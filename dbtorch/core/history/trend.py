"""How a node does from run to run: how often it fails, how long it takes, since when longer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median

from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass, State

#: Runs on either side of a change that are enough to speak of one, and how much longer a node must
#: take for it, in all and in seconds.
_EARLIER, _LATER = 3, 2
_FACTOR, _SECONDS = 2.0, 1.0


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt at a node, its texts left out."""

    state: State
    seconds: float | None  # None while it runs, or where it never did
    failure_class: FailureClass | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One node in one run."""

    run_id: str
    pipeline: str
    started_at: datetime  # of the run
    git_commit: str  # empty where nobody knows
    node_id: str
    kind: Kind
    name: str
    path: str
    materialized: str
    owner: str
    runbook: str
    group: str
    state: State
    tries: tuple[Try, ...]

    @property
    def id(self) -> str:
        """The node's."""
        return self.node_id

    @property
    def seconds(self) -> float | None:
        """How long its attempts ran; None where none did."""
        ran = [one.seconds for one in self.tries if one.seconds is not None]
        return sum(ran) if ran else None

    @property
    def recovered(self) -> bool:
        """Whether it went well after an attempt that had not."""
        return self.state.ok and any(one.state is State.FAILED for one in self.tries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """From one run on a node takes much longer than before."""

    before: float  # seconds, as a rule
    since: float
    sample: Sample  # the first of those that took longer

    @property
    def factor(self) -> float:
        """How many times as long."""
        return self.since / self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How a node has done in its last runs."""

    last: Sample
    runs: int  # in which it was executed
    failed: int
    flaky: int  # in which it failed and then did not, with the same code
    seconds: float | None  # as a rule, where it went well
    classes: Mapping[FailureClass, int]  # of attempts that failed
    slower: Slower | None


def trend(samples: Sequence[Sample]) -> Trend:
    """Sum up the samples of one node, the oldest first; there is at least one."""
    ran = [one for one in samples if one.tries]
    took = [one.seconds for one in ran if one.state.ok and one.seconds is not None]
    return Trend(
        last=samples[-1],
        runs=len(ran),
        failed=sum(one.state is State.FAILED for one in ran),
        flaky=sum(one.recovered for one in ran)
        + sum(
            before.state is State.FAILED and after.state.ok and _is_same_code(before, after)
            for before, after in pairwise(ran)
        ),
        seconds=median(took) if took else None,
        classes=Counter(
            one.failure_class for sample in ran for one in sample.tries if one.failure_class
        ),
        slower=slower(ran),
    )


def _is_same_code(one: Sample, other: Sample) -> bool:
    return bool(one.git_commit) and one.git_commit == other.git_commit


def slower(samples: Sequence[Sample]) -> Slower | None:
    """Since when a node takes much longer, of its samples with the oldest first.

    Only of runs in which it went well at once. None where it does not, and where too few runs say.
    """
    good = [one for one in samples if one.state.ok and len(one.tries) == 1]
    timed = [(one, one.seconds) for one in good if one.seconds is not None]
    took = [seconds for _, seconds in timed]
    if len(took) < _EARLIER + _LATER or not _much(median(took[-_LATER:]), min(took)):
        return None  # most nodes: nothing to look for
    splits = range(_EARLIER, len(took) - _LATER + 1)
    split = min(splits, key=lambda place: _spread(took[:place]) + _spread(took[place:]))
    before, since = median(took[:split]), median(took[split:])
    if not _much(since, before):
        return None
    return Slower(before=before, since=since, sample=timed[split][0])


def _much(seconds: float, than: float) -> bool:
    return seconds >= _FACTOR * than and seconds - than >= _SECONDS and than > 0


def _spread(took: Sequence[float]) -> float:
    middle = median(took)
    return sum(abs(one - middle) for one in took)
