"""What checks of a relation came to, as values, as the history keeps it, and in words."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """What came of one check."""

    OK = "ok"  # all is well, or there is nothing to compare with yet
    WARN = "warn"  # complains, with severity warn
    ERROR = "error"  # complains, with severity error
    UNKNOWN = "unknown"  # could not be evaluated, which is no better than an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check says."""

    check: str
    status: Status
    told: str

    def as_json(self) -> dict[str, Any]:
        """What the history keeps of it."""
        return {"check": self.check, "status": self.status.value, "message": self.told}


def told(findings: tuple[Finding, ...]) -> str:
    """What checks say, a line each; those that complain alone where some do."""
    bad = [finding for finding in findings if finding.status is not Status.OK]
    return "\n".join(f"{finding.check}: {finding.told}" for finding in bad or findings)
