"""What is known of a failure, and rules that name the class it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbtorch.core.state import FailureClass

#: One exception of a chain, one exit status, or one answer of a server: `classes` (dotted names,
#: most specific first), `sqlstate`, `codes`, `exit_status`, `http_status`, `message`; any may miss.
#: Those that are an `aside` may have nothing to do with the failure.
Link = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Evidence, and the class it stands for.

    Every kind of evidence a rule names must be there, in one link; of several values, one.
    """

    failure_class: FailureClass
    sqlstate: tuple[str, ...] = ()  # five characters, or the first two
    exception: tuple[str, ...] = ()  # a class, or one it inherits: dotted, its end, or its package
    errno: tuple[str, ...] = ()  # number or name, as the driver calls it
    exit_status: tuple[int, ...] = ()  # of a step's process; 128 + n when signal n killed it
    http_status: tuple[str, ...] = ()  # "503", or "5xx"
    message: str = ""  # regular expression, anywhere in the text, in capitals or not
    meaning: str = ""
    source: str = ""  # where that is documented

    def fits(self, link: Link, message: str) -> bool:
        """Whether a link of the chain, or the message of the whole, is what this rule names."""
        wanted = (
            (self.sqlstate, self._has_sqlstate),
            (self.exception, self._has_class),
            (self.errno, self._has_code),
            (self.exit_status, self._has_exit_status),
            (self.http_status, self._has_http_status),
        )
        return all(holds(link) for values, holds in wanted if values) and (
            not self.message or self._says(link, message)
        )

    def _has_sqlstate(self, link: Link) -> bool:
        found = str(link.get("sqlstate") or "")
        return found in self.sqlstate or (len(found) == 5 and found[:2] in self.sqlstate)

    def _has_class(self, link: Link) -> bool:
        return any(
            # duckdb's classes live in _duckdb
            f"{found.lstrip('_')}.".startswith(f"{name}.") or found.endswith(f".{name}")
            for found in link.get("classes") or ()
            for name in self.exception
        )

    def _has_code(self, link: Link) -> bool:
        return not set(self.errno).isdisjoint(link.get("codes") or ())

    def _has_exit_status(self, link: Link) -> bool:
        return link.get("exit_status") in self.exit_status

    def _has_http_status(self, link: Link) -> bool:
        found = link.get("http_status")
        if not isinstance(found, int):
            return False
        return str(found) in self.http_status or f"{found // 100}xx" in self.http_status

    def _says(self, link: Link, message: str) -> bool:
        texts = (message, str(link.get("message") or ""))
        return any(re.search(self.message, text, re.IGNORECASE) for text in texts)
