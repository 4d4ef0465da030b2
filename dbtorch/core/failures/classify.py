"""Which class a failed attempt belongs to, decided from evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dbtorch.core.model.state import FailureClass
from dbtorch.core.text.from_outside import seconds_to_wait

if TYPE_CHECKING:
    from dbtorch.core.failures.evidence import Link, Rule


def classify(evidence: Sequence[Link], message: str, rules: Iterable[Rule] = ()) -> FailureClass:
    """Class of a failure. ``evidence`` is the chain of an exception, outermost first.

    ``rules`` are the user's and come first. Then the built-in table, section by section: codes,
    statuses, decisive words, classes of exceptions, other words. In a section the innermost link
    decides, as it is nearest to what happened, and of its rules the first that fits. Asides are
    asked when nothing else says anything.
    """
    links = list(reversed(evidence)) or [{}]
    for rule in rules:
        if any(rule.fits(link, message) for link in links):
            return rule.failure_class
    found = _look_up([link for link in links if not link.get("aside")], message)
    return found or _look_up(links, message) or FailureClass.UNKNOWN


def _look_up(links: Sequence[Link], message: str) -> FailureClass | None:
    from dbtorch.core.failures.table import TABLE  # most runs have no failure

    for section in TABLE:
        for link in links:
            for rule in section.rules:
                if rule.fits(link, message):
                    return rule.failure_class
    return None


def asked_delay(evidence: Iterable[Link], now: datetime) -> float | None:
    """Seconds the other side asked to wait: the first ``Retry-After`` of a chain."""
    found = (seconds_to_wait(link.get("retry_after"), now) for link in evidence)
    return next((delay for delay in found if delay is not None), None)
