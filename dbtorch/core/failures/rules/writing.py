"""How the built-in rules are written: what fits, what it means, and where that is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.state import FailureClass

TRANSIENT, DATA, CODE = FailureClass.TRANSIENT, FailureClass.DATA, FailureClass.CODE
TIMEOUT, UNKNOWN = FailureClass.TIMEOUT, FailureClass.UNKNOWN


@dataclass(frozen=True, slots=True)
class Section:
    """Rules of one kind of evidence; the first that fits decides."""

    title: str
    rules: tuple[Rule, ...]


def from_source(source: str, *rules: Rule) -> tuple[Rule, ...]:
    """Rules that are written down there."""
    return tuple(replace(rule, source=source) for rule in rules)


def code(found: FailureClass, meaning: str, package: str, codes: str) -> Rule:
    """A number or name of a driver, or of the operating system where no package is named."""
    package_only = (package,) if package else ()
    errno = tuple(codes.split())
    return Rule(failure_class=found, meaning=meaning, exception=package_only, errno=errno)


def sqlstate(found: FailureClass, meaning: str, states: str) -> Rule:
    """SQLSTATEs, or their classes."""
    return Rule(failure_class=found, meaning=meaning, sqlstate=tuple(states.split()))


def raised(found: FailureClass, meaning: str, classes: str) -> Rule:
    """Classes of exceptions, or packages."""
    return Rule(failure_class=found, meaning=meaning, exception=tuple(classes.split()))


def http(found: FailureClass, meaning: str, statuses: str) -> Rule:
    """HTTP statuses."""
    return Rule(failure_class=found, meaning=meaning, http_status=tuple(statuses.split()))


def exit_status(found: FailureClass, meaning: str, *statuses: int) -> Rule:
    """Exit statuses."""
    return Rule(failure_class=found, meaning=meaning, exit_status=statuses)


def says(found: FailureClass, meaning: str, pattern: str, *classes: str) -> Rule:
    """Words, as a pattern, perhaps of some classes alone."""
    return Rule(failure_class=found, meaning=meaning, message=pattern, exception=classes)
