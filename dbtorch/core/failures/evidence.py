"""What is known of a failure, and rules that name the class it stands for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from dbtorch.core.failures.pattern import says
from dbtorch.core.keys import Besides, Between, key
from dbtorch.core.model.state import FailureClass

#: Characters of a message that the built-in table looks at.
_LONGEST = 20_000

#: One exception of a chain, one exit status, or one answer of a server: `classes` (dotted names,
#: most specific first), `sqlstate`, `codes`, `exit_status`, `http_status`, `message`; any may miss.
#: Those that are an `aside` may have nothing to do with the failure.
Link = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Evidence, and the class it stands for.

    Every kind of evidence a rule names must be there, in one link; of several values, one.
    """

    failure_class: Annotated[FailureClass, Besides(FailureClass.DEPENDENCY)] = field(
        metadata=key("What such a failure is. Required.", name="class", example="transient")
    )
    sqlstate: tuple[Annotated[str, "SQLSTATE"], ...] = field(
        default=(),
        metadata=key("Five characters, or the two of a class.", example='["55P03", "08"]'),
    )
    exception: tuple[Annotated[str, "class"], ...] = field(
        default=(),
        metadata=key(
            "Class that was raised, or one it inherits from: dotted, its end, or its package.",
            example="pymysql.err.OperationalError",
        ),
    )
    errno: tuple[Annotated[str, "number or name"], ...] = field(
        default=(),
        metadata=key("Number or name the driver has for it.", example="[1205, 1213]"),
    )
    exit_status: tuple[Annotated[int, Between(1, 255)], ...] = field(
        default=(),
        metadata=key("Exit status of a step; 128 + n when signal n ended it.", example="3"),
    )
    http_status: tuple[Annotated[str, "status"], ...] = field(
        default=(),
        metadata=key("Status of an HTTP answer; `4xx` is a hundred of them.", example="409"),
    )
    message: Annotated[str, "regular expression"] = field(
        default="",
        metadata=key(
            "Anywhere in the message, in capitals or not; what repeats something in its first"
            " 4,000 characters. It cannot look ahead or refer to a group.",
            example='"lake is (busy|frozen)"',
        ),
    )
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
        if self.source:  # ours, of which each is known to be quick
            return any(re.search(self.message, text[:_LONGEST], re.IGNORECASE) for text in texts)
        return any(says(self.message, text) for text in texts)
