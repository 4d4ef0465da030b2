"""The words of `dbt build` that somebody gave, taken apart for the commands made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

#: Options that choose nodes; a batch is chosen by its ids instead.
_CHOOSING = frozenset(
    {
        "--select",
        "--exclude",
        "--selector",
        "--resource-type",
        "--exclude-resource-type",
        "--indirect-selection",
    }
)

#: Options of one value that are read here.
_READ = frozenset(
    {"--target", "--profile", "--profiles-dir", "--project-dir", "--target-path", "--vars"}
    | {"--threads", "--state", "--defer-state"}
)

#: Options that only building knows.
_BUILDING = frozenset(
    {"--full-refresh", "--fail-fast", "--no-fail-fast", "--empty", "--no-empty"}
    | {"--store-failures", "--sample", "--event-time-start", "--event-time-end"}
)

_TESTING = frozenset({"--fail-fast", "--no-fail-fast", "--store-failures"})

_OF_ONE_VALUE = _CHOOSING | _READ | {"--sample", "--event-time-start", "--event-time-end"}


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a command, by what they are for."""

    choosing: tuple[str, ...] = ()
    building: tuple[str, ...] = ()  # known to `build` alone
    state: str = ""  # the folder of --state
    defer_state: str = ""
    common: tuple[str, ...] = ()  # everything else: project, profile, variables
    values: dict[str, str] = field(default_factory=dict)  # of the options of one value

    @property
    def testing(self) -> tuple[str, ...]:
        """What of `build` alone `test` knows as well."""
        return tuple(word for word in self.building if word in _TESTING)

    @classmethod
    def of(cls, given: Sequence[str]) -> Words:
        """Take words apart: ``--option value``, or ``--switch``."""
        choosing: list[str] = []
        building: list[str] = []
        common: list[str] = []
        values: dict[str, str] = {}
        for name, words in _grouped(given):
            if len(words) > 1:
                values[name] = words[1]
            if name in _CHOOSING:
                choosing += words
            elif name in _BUILDING:
                building += words
            elif name not in ("--state", "--defer-state"):
                common += words
        return cls(
            choosing=tuple(choosing),
            building=tuple(building),
            state=values.get("--state", ""),
            defer_state=values.get("--defer-state", ""),
            common=tuple(common),
            values=values,
        )

    def listing(self) -> tuple[str, ...]:
        """What chooses nodes, for `dbt list`."""
        state = ("--state", self.state) if self.state else ()
        return (*self.common, *self.choosing, *state)

    def batch(self, chosen: str, *, command: str = "build") -> tuple[str, ...]:
        """What executes exactly the nodes that failed in the run_results.json of a folder."""
        defer = self.defer_state or self.state
        return (
            *self.common,
            *(self.building if command == "build" else self.testing),
            *("--select", "result:error", "--state", chosen, "--indirect-selection", "empty"),
            *(("--defer-state", defer) if defer else ()),
        )


def _grouped(given: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each option with what belongs to it."""
    following = iter(given)
    for word in following:
        if word in _OF_ONE_VALUE:
            yield word, (word, next(following, ""))
        else:
            yield word, (word,)
