"""The options of `dbt build` that dbtorch passes through, and what is said with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DbtOption:
    """An option of `dbt build` that dbtorch passes through."""

    names: tuple[str, ...]  # the first one is what dbt is given
    help: str
    kind: str = "text"  # text, number, many (several words), flag, or switch (--x/--no-x)

    @property
    def key(self) -> str:
        """Name of its click parameter."""
        return "dbt_" + self.names[0].lstrip("-").replace("-", "_")


#: What passes through. Selection is dbt's own, but for steps and checks (`core/selection.py`).
DBT_OPTIONS = (
    DbtOption(
        ("--select", "-s", "--models", "--model", "-m"),
        "Nodes to include; also step:<name>.",
        "many",
    ),
    DbtOption(("--exclude",), "Nodes to exclude; also step:<name> and check:<name>.", "many"),
    DbtOption(("--selector",), "A selector of selectors.yml."),
    DbtOption(("--resource-type", "--resource-types"), "Types of resources to include.", "many"),
    DbtOption(
        ("--exclude-resource-type", "--exclude-resource-types"),
        "Types of resources to exclude.",
        "many",
    ),
    DbtOption(
        ("--indirect-selection",), "Which tests come along: eager, cautious, buildable, empty."
    ),
    DbtOption(("--state",), "Folder of the state to compare with and to defer to."),
    DbtOption(("--defer",), "Resolve what is not selected from --state.", "switch"),
    DbtOption(("--defer-state",), "Another folder for deferral alone."),
    DbtOption(("--favor-state",), "Defer even where the relation exists.", "switch"),
    DbtOption(("--target", "-t"), "Target of the profile."),
    DbtOption(("--profile",), "Profile to use."),
    DbtOption(("--profiles-dir",), "Folder of profiles.yml."),
    DbtOption(("--target-path",), "Folder for dbt's artifacts."),
    DbtOption(("--vars",), "Variables, as YAML."),
    DbtOption(("--threads",), "Nodes that run at once.", "number"),
    DbtOption(("--full-refresh", "-f"), "Rebuild incremental models and seeds.", "flag"),
    DbtOption(("--fail-fast", "-x"), "Stop at the first failure.", "switch"),
    DbtOption(("--empty",), "Limit refs and sources to no rows.", "switch"),
    DbtOption(("--sample",), "Sample window for refs and sources."),
    DbtOption(("--event-time-start",), "Start of the window for microbatch models."),
    DbtOption(("--event-time-end",), "End of the window for microbatch models."),
    DbtOption(("--export-saved-queries",), "Export saved queries as well.", "switch"),
    DbtOption(("--store-failures",), "Keep failing rows of tests.", "flag"),
    DbtOption(("--warn-error",), "Turn dbt's warnings into errors.", "flag"),
    DbtOption(("--warn-error-options",), "Which warnings to turn into errors, as YAML."),
    DbtOption(("--version-check",), "Check require-dbt-version.", "switch"),
    DbtOption(("--partial-parse",), "Reuse the last parse.", "switch"),
    DbtOption(("--static-parser",), "Use the static parser.", "switch"),
    DbtOption(("--populate-cache",), "Fill the relation cache at the start.", "switch"),
    DbtOption(("--cache-selected-only",), "Fill it for selected schemas only.", "switch"),
    DbtOption(("--write-json",), "Write manifest.json and run_results.json.", "switch"),
    DbtOption(("--log-path",), "Folder of dbt's own log file."),
    DbtOption(("--log-level-file",), "Level of dbt's own log file, none by default."),
    DbtOption(("--debug", "-d"), "Let dbt log everything.", "switch"),
    DbtOption(("--send-anonymous-usage-stats",), "Let dbt send usage statistics.", "switch"),
)

#: Options that decide which connection dbt opens.
PROFILE_OPTIONS = ("--target", "--profile", "--profiles-dir", "--vars")

#: Options that decide which sources are checked, and how.
FRESHNESS_OPTIONS = (
    *("--select", "--exclude", "--selector", "--state"),
    *(*PROFILE_OPTIONS, "--target-path", "--threads", "--partial-parse", "--write-json"),
)

#: Options that say how a run is executed, not what it comes to: a retry may have its own.
FREE = frozenset(
    {
        "--threads",
        "--fail-fast",
        "--version-check",
        "--partial-parse",
        "--static-parser",
        "--populate-cache",
        "--cache-selected-only",
        "--write-json",
        "--log-path",
        "--log-level-file",
        "--debug",
        "--send-anonymous-usage-stats",
    }
)


def dbt_args(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The words to give to dbt for what click parsed."""
    words: list[str] = []
    for option in DBT_OPTIONS:
        value = given.get(option.key)
        first = option.names[0]
        if value is None or value == () or (value is False and option.kind == "flag"):
            continue
        if option.kind in ("switch", "flag"):
            words.append(first if value else f"--no-{first.removeprefix('--')}")
        elif option.kind == "many":
            words += [word for item in value for word in (first, item)]
        else:
            words += [first, str(value)]
    return tuple(words)


def values_of(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Option -> its values, of words that `dbt_args` has made; a switch has its own name as one."""
    found: dict[str, tuple[str, ...]] = {}
    for name, word, value in _grouped(words):
        found[name] = (*found.get(name, ()), word if value is None else value)
    return found


def without(words: Sequence[str], names: set[str]) -> tuple[str, ...]:
    """These words without some options."""
    kept: list[str] = []
    for name, word, value in _grouped(words):
        if name not in names:
            kept += [word] if value is None else [word, value]
    return tuple(kept)


def _grouped(words: Sequence[str]) -> Iterator[tuple[str, str, str | None]]:
    """Option, the word it was given as, and its value where it takes one."""
    bare = {option.names[0] for option in DBT_OPTIONS if option.kind in ("switch", "flag")}
    following = iter(words)
    for word in following:
        name = word.replace("--no-", "--", 1) if word.startswith("--no-") else word
        if name in bare:
            yield name, word, None
        else:
            yield word, word, next(following, None)
