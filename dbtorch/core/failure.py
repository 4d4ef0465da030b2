"""Which class a failed attempt belongs to, decided from evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from dbtorch.core.evidence import Link, Rule
from dbtorch.core.state import FailureClass


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
    from dbtorch.core.failure_table import TABLE  # most runs have no failure

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


def seconds_to_wait(header: object, now: datetime) -> float | None:
    """Seconds, from either form of ``Retry-After`` (a number, or a date); None without one.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    from email.utils import parsedate_to_datetime

    text = str(header or "").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])  # 30 years are as long as for ever
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
