"""What dbt is told of a run for a pull request: what it selects, compares with and defers to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbtorch.core.config import EngineType, InCi
from dbtorch.core.errors import UsageError
from dbtorch.core.production import fingerprint
from dbtorch.service.ci.options import CiOptions
from dbtorch.service.ci.state import States
from dbtorch.service.ci.unseen import Unseen
from dbtorch.service.production.find import FoundState
from dbtorch.service.project.dbt_options import values_of, without
from dbtorch.service.project.project import Project
from dbtorch.service.wiring.engines import choose_engine

#: What is selected by default: what changed, and all that reads it.
MODIFIED = "state:modified+"

#: Options for dbt that are ours to give.
_OURS = {"--state", "--defer", "--defer-state", "--favor-state", "--target", "--profiles-dir"}


def words_of(
    project: Project,
    options: CiOptions,
    states: States | None,
    place: tuple[str, ...],
    unseen: Unseen,
) -> tuple[str, ...]:
    """Dbt's options for the run. Raises `UsageError`."""
    given = options.run.dbt_args
    words = [*without(given, _OURS), *place]
    if states is not None:
        words += ["--state", str(states.base.folder), "--defer"]
        words += ["--favor-state"] if _favors(project, options) else []
        if states.latest is not states.base:
            words += ["--defer-state", str(states.latest.folder)]
        words += selecting(project, given, states.base, unseen)
    left_out = [name for name, step in project.config.steps.items() if step.ci is not InCi.RUN]
    if len(left_out) < len(project.config.steps):
        words += [word for name in left_out for word in ("--exclude", f"step:{name}")]
    if options.limit_event_time is not None:
        if "--sample" in values_of(given):
            raise UsageError("--limit-event-time and --sample are the same: keep one of them")
        words += ["--sample", _sample(options.limit_event_time)]
    return tuple(words)


def selecting(
    project: Project, given: Sequence[str], base: FoundState, unseen: Unseen
) -> Iterator[str]:
    """Options that select what changed since a state; none where something is selected."""
    if {"--select", "--selector"} & {*given}:
        return
    changed, _ = changed_steps(project, base)
    texts = [text for name in changed for text in project.config.steps[name].produces]
    for text in (MODIFIED, *map(_behind, texts), *unseen.selected(base)):
        yield "--select"
        yield text


def _favors(project: Project, options: CiOptions) -> bool:
    """Whether production is read also where an earlier commit has built in its own schema.

    The process engine cannot: its later batches would not read what earlier ones have built.
    """
    if options.favor_state is not None:
        return options.favor_state
    return choose_engine(project).type is EngineType.SESSION


def _behind(text: str) -> str:
    return text if text.endswith("+") else f"{text}+"


def _sample(seconds: float) -> str:
    """A window as dbt has it."""
    for unit, size in (("day", 86_400), ("hour", 3600)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)} {unit}s"
    raise UsageError("--limit-event-time is a number of hours or days, such as 12h or 3d")


def changed_steps(
    project: Project, base: FoundState | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Steps that are new or do something else than in a state, and those that are gone."""
    if base is None or base.published is None:
        return (), ()
    before, now = base.published.steps, project.config.steps
    changed = (name for name, spec in now.items() if before.get(name) != fingerprint(spec))
    return tuple(changed), tuple(sorted(before.keys() - now.keys()))
