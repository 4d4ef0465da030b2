"""dbt's own options, under dbt's names, on dbtorch's commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click


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


#: What passes through. Selection is dbt's own: there is no second grammar.
DBT_OPTIONS = (
    DbtOption(("--select", "-s", "--models", "--model", "-m"), "Nodes to include.", "many"),
    DbtOption(("--exclude",), "Nodes to exclude.", "many"),
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

_SELECTING = ("dbt_select", "dbt_exclude", "dbt_selector")


class DbtCommand(click.Command):
    """A command whose ``--select a b`` takes several words, as dbt's does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option in front of each further word."""
        many = {name for option in DBT_OPTIONS if option.kind == "many" for name in option.names}
        return super().parse_args(ctx, _spread(args, many))


def _spread(args: Sequence[str], many: set[str]) -> list[str]:
    spread: list[str] = []
    current: str | None = None
    fresh = False
    for arg in args:
        if arg.startswith("-") and arg != "-":
            name, written, _ = arg.partition("=")  # --select=a takes more words as well
            current, fresh = (name, not written) if name in many else (None, False)
            spread.append(arg)
        elif current is not None and not fresh:
            spread += [current, arg]
        else:
            spread.append(arg)
            fresh = False
    return spread


def dbt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add dbt's options to a click command."""
    for option in reversed(DBT_OPTIONS):
        command = _click_option(option)(command)
    return command


def freshness_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of dbt's options that `dbt source freshness` takes."""
    return _some_options(command, FRESHNESS_OPTIONS)


def profile_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of dbt's options that say which profile and target."""
    return _some_options(command, PROFILE_OPTIONS)


def _some_options(command: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    for option in reversed(DBT_OPTIONS):
        if option.names[0] in names:
            command = _click_option(option)(command)
    return command


def _click_option(option: DbtOption) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    first = option.names[0]
    if option.kind == "switch":
        bare = first.removeprefix("--")
        names = [f"{first}/--no-{bare}", *option.names[1:]]
        return click.option(*names, option.key, default=None, help=option.help)
    if option.kind == "flag":
        return click.option(*option.names, option.key, is_flag=True, default=None, help=option.help)
    many = option.kind == "many"
    type = click.IntRange(min=1) if option.kind == "number" else str
    return click.option(*option.names, option.key, multiple=many, type=type, help=option.help)


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


def selects(given: Mapping[str, Any]) -> bool:
    """Whether anything narrows the run to a part of the project."""
    return any(given.get(key) for key in _SELECTING)
