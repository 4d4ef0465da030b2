"""The words of `dbt build` that somebody gave, taken apart for the commands made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

#: Options that `build` knows and others do not.
_BUILDING = frozenset(
    {"--full-refresh", "--empty", "--no-empty"}
    | {"--export-saved-queries", "--no-export-saved-queries"}
    | {"--sample", "--event-time-start", "--event-time-end"}
)

#: Options that `build` and `test` know, and `list` does not.
_EXECUTING = frozenset({"--fail-fast", "--no-fail-fast", "--store-failures", "--threads"})

#: Options for which each command has words of its own.
_STATE = frozenset({"--state", "--defer-state"})

_OF_ONE_VALUE = (
    _CHOOSING
    | _STATE
    | {"--target", "--profile", "--profiles-dir", "--project-dir", "--target-path", "--vars"}
    | {"--threads", "--sample", "--event-time-start", "--event-time-end"}
)


@dataclass(frozen=True, slots=True)
class DbtArgs:
    """Words of a command, option by option."""

    options: tuple[tuple[str, ...], ...] = ()
    values: dict[str, str] = field(default_factory=dict)  # of the options of one value

    @classmethod
    def of(cls, given: Sequence[str]) -> DbtArgs:
        """Take words apart: ``--option value``, or ``--switch``."""
        options = tuple(_grouped(given))
        return cls(options, {words[0]: words[1] for words in options if len(words) > 1})

    def has(self, option: str) -> bool:
        """Whether an option was given."""
        return any(words[0] == option for words in self.options)

    def with_values(self, values: Mapping[str, str]) -> DbtArgs:
        """The same with other values of some options."""
        kept = tuple(words for words in self.options if words[0] not in values)
        return DbtArgs((*kept, *values.items()), {**self.values, **values})

    def common(self) -> tuple[str, ...]:
        """What every command knows: project, profile, variables."""
        return self._without(_CHOOSING | _STATE | _BUILDING | _EXECUTING)

    def listing(self) -> tuple[str, ...]:
        """What chooses nodes, for `dbt list`."""
        return self._without(_BUILDING | _EXECUTING)

    def batch(self, chosen: str, *, command: str = "build") -> tuple[str, ...]:
        """What executes exactly the nodes that failed in the run_results.json of a folder."""
        unknown = frozenset[str]() if command == "build" else _BUILDING
        defer = self.values.get("--defer-state") or self.values.get("--state")
        return (
            *self._without(_CHOOSING | _STATE | unknown),
            *("--select", "result:error", "--state", chosen, "--indirect-selection", "empty"),
            *(("--defer-state", defer) if defer else ()),
        )

    def _without(self, names: frozenset[str]) -> tuple[str, ...]:
        return tuple(word for words in self.options if words[0] not in names for word in words)


def _grouped(given: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each option with what belongs to it."""
    following = iter(given)
    for word in following:
        yield (word, next(following, "")) if word in _OF_ONE_VALUE else (word,)
