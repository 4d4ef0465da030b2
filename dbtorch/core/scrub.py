"""Takes secrets out of texts that leave this machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

_HIDDEN = "*****"

#: Environment variables whose values are secret, dbt's rule.
SECRET_PREFIX = "DBT_ENV_SECRET"  # noqa: S105  # a name

_PATTERNS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE), rf"\1{_HIDDEN}@"),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]+"), _HIDDEN),  # Slack
    (re.compile(r"(https://hooks\.slack\.com/)\S+"), rf"\1{_HIDDEN}"),
    (re.compile(r"(\bauthorization: *\w+ +)\S+", re.IGNORECASE), rf"\1{_HIDDEN}"),
    (
        re.compile(
            r"(\b(?:password|passwd|pwd|api_?key|access_?token|secret)\s*=\s*)"
            r"(?:'[^']*'|\"[^\"]*\"|[^\s,;&'\"]+)",
            re.IGNORECASE,
        ),
        rf"\1{_HIDDEN}",
    ),
)


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of dbt's secret environment variables, longest first."""
    found = {v for name, v in environ.items() if name.startswith(SECRET_PREFIX) and v.strip()}
    return tuple(sorted(found, key=len, reverse=True))


def scrubber(secrets: Iterable[str]) -> Callable[[str], str]:
    """A function that hides these values, and whatever looks like a login or a token."""
    known = sorted({secret for secret in secrets if secret.strip()}, key=len, reverse=True)

    def scrub(text: str) -> str:
        for secret in known:
            text = text.replace(secret, _HIDDEN)
        for pattern, shown in _PATTERNS:
            text = pattern.sub(shown, text)
        return text

    return scrub
