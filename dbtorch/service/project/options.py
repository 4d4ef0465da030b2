"""What the command line says about a run, and which pipeline that is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.core.config import Config, PipelineSpec
from dbtorch.core.errors import NotFound, SelectionError, UsageError
from dbtorch.core.model.deadline import DeadlineAction, DeadlineRule
from dbtorch.core.model.selection import NOTHING, Chosen, take_apart
from dbtorch.core.settings import Settings
from dbtorch.service.project.dbt_options import values_of, without
from dbtorch.service.project.environment import PREFIXES, shaping

if TYPE_CHECKING:
    from dbtorch.core.history.records import RunRecord
    from dbtorch.core.schedule.cause import Cause

#: Options of dbt that make a run one of a part, and their environment variables: a window of time
#: that somebody gives is seldom the run's own interval.
_PARTS = {
    "--resource-type": "RESOURCE_TYPES",
    "--exclude-resource-type": "EXCLUDE_RESOURCE_TYPES",
    "--empty": "EMPTY",
    "--sample": "SAMPLE",
    "--event-time-start": "EVENT_TIME_START",
    "--event-time-end": "EVENT_TIME_END",
}

_VARIABLES = tuple(f"{prefix}{name}" for prefix in PREFIXES for name in _PARTS.values())


def _is_on(text: str) -> bool:
    """Whether an environment variable of dbt says something."""
    return text.strip().lower() not in ("", "0", "f", "n", "false", "no", "off")


#: Variable by which a scheduler tells a run which tick it is for: its token.
TICK = "DBTORCH_TICK"

#: And which interval that stands for, however its schedule is read by now.
TICK_INTERVAL = "DBTORCH_TICK_INTERVAL"

#: And what that was made by, where no schedule has: JSON, with the parameters of the run.
TICK_CAUSE = "DBTORCH_TICK_CAUSE"

#: And that it may go on beside other runs of its pipeline, each for a partition of its own.
TICK_SHARED = "DBTORCH_TICK_SHARED"

#: Variable by which the warm process of a scheduler tells a run of the worker that it has at hand.
STANDBY = "DBTORCH_STANDBY"

#: The pipeline of a project that names none: everything.
DEFAULT_PIPELINE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """What is selected and excluded, taken apart."""

    select: Chosen
    exclude: Chosen
    selector: bool  # one of selectors.yml is given as well
    given: bool  # whether anything is selected by --select or `select:`
    downstream: bool  # steps after what is selected come along, and steps before those

    @property
    def everything(self) -> bool:
        """Whether nothing narrows the run to a part of the project, but steps that are left out."""
        return not (self.given or self.selector or self.exclude.dbt)

    def words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Options for dbt, with the part of the selection that is dbt's."""
        kept = without(words, {"--select", "--exclude"})
        if self.given and not self.select.dbt and not self.selector:
            return (*kept, *NOTHING)
        chosen = [word for text in self.select.dbt for word in ("--select", text)]
        left_out = [word for text in self.exclude.dbt for word in ("--exclude", text)]
        return (*kept, *chosen, *left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line says about a run."""

    project_dir: str | None = None
    pipeline: str | None = None
    dbt_args: tuple[str, ...] = ()
    narrowed: bool = False  # --select, --exclude or --selector was given
    overrides: Settings = field(default_factory=Settings)
    steps: bool = True
    downstream_steps: bool = False  # come along with what the command line selects
    freshness: bool = True  # sources are checked
    checks: bool = True
    database_url: str | None = None
    artifacts_url: str | None = None
    logical_date: datetime | None = None
    params: Mapping[str, Any] = field(default_factory=dict)  # of the pipeline, as they were given
    partition: str = ""  # key of the partition that is to be run, or "first..last"
    run_id: str | None = None  # of the caller's own: the same again goes on with that run
    fail_on_empty: bool = False
    grace: float | None = None
    wait: float | None = None  # seconds, for whoever runs the pipeline
    deadline: DeadlineRule | None = None
    deadline_action: DeadlineAction | None = None
    tick: str = ""  # token of the tick that the run is started for; empty for one by hand
    cause: Cause | None = None  # what it is started by; None: whoever calls
    tick_interval: str = ""  # what that stands for: two moments with a slash between
    shared: bool = False  # goes on beside runs of other partitions of its pipeline
    standby: str = ""  # what a warm process has told of a dbt worker at hand
    pipeline_args: tuple[str, ...] = ()  # for dbt, that the pipeline says of this run
    spec: PipelineSpec | None = None  # a pipeline of which dbtorch.yml says nothing
    alerts: bool = True  # people are told
    merges: bool = False  # brings production to what is at hand, although it runs a part of it
    command: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)  # what relative paths in dbt's options count from
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def dbt_args_for(self, config: Config) -> tuple[str, ...]:
        """Options for dbt: the given ones, and the pipeline's where they say nothing.

        Without what is no selection of dbt's: steps and checks. Raises `UsageError`.
        """
        pipeline = pipeline_of(config, self)
        words = list(self.dbt_args)
        if not self.narrowed:
            words += [word for text in pipeline.select for word in ("--select", text)]
            words += [word for text in pipeline.exclude for word in ("--exclude", text)]
            words += ["--selector", pipeline.selector] if pipeline.selector else []
        if pipeline.target and "--target" not in words:
            words += ["--target", pipeline.target]
        if "--vars" in self.pipeline_args:  # which has those that were given
            words = list(without(words, {"--vars"}))
        words += self.pipeline_args
        return tuple(words) if not _is_ours(words) else self.choosing(config).words(words)

    def choosing(self, config: Config, *, sources: bool = False) -> Choosing:
        """The selection taken apart: the command line's, or else the pipeline's.

        With ``sources`` a step stands for its sources as well. Raises `UsageError`.
        """
        pipeline = pipeline_of(config, self)
        given = values_of(self.dbt_args)
        select, exclude = given.get("--select", ()), given.get("--exclude", ())
        selector = bool(given.get("--selector"))
        where = ""
        if not self.narrowed:
            select, exclude = pipeline.select, pipeline.exclude
            selector, where = bool(pipeline.selector), f"{pipeline.origin}: "
        try:
            chosen = take_apart(select, config.steps, sources=sources)
            excluded = take_apart(exclude, config.steps, sources=sources)
        except SelectionError as error:
            raise SelectionError(f"{where}{error}") from error
        if chosen.checks:
            raise SelectionError(
                f'{where}"check:{chosen.checks[0]}" cannot be selected alone: a check looks at what'
                f" a run builds or reads, and comes along with it; `dbtorch rerun RUN --select"
                f" check:{chosen.checks[0]}` looks again"
            )
        narrowed = self.narrowed and (bool(select) or selector)
        return Choosing(
            select=chosen,
            exclude=excluded,
            selector=selector,
            given=bool(select),
            downstream=self.downstream_steps or not narrowed,
        )

    @property
    def partial(self) -> bool:
        """Whether a part of the pipeline is left out, or is run on a part of the data.

        A pipeline's own selection is all of it: what the command line leaves out is not.
        """
        left_out = self.narrowed or not (self.steps and self.checks)
        asked = any(word in _PARTS for word in self.dbt_args)
        return left_out or asked or any(_is_on(self.environ.get(name, "")) for name in _VARIABLES)

    def to_record(self) -> dict[str, Any]:
        """What a retry needs to plan the same run again."""
        return {
            "dbt_args": list(self.dbt_args),
            "pipeline_args": list(self.pipeline_args),
            "narrowed": self.narrowed,
            "overrides": asdict(self.overrides),
            "steps": self.steps,
            "downstream_steps": self.downstream_steps,
            "freshness": self.freshness,
            "checks": self.checks,
            "grace": self.grace,
            "cwd": str(self.cwd),
            "environ": shaping(self.environ),
        }

    @classmethod
    def from_record(cls, record: RunRecord) -> RunOptions:
        """The options a run was started with. Raises `UsageError` for a damaged history."""
        try:
            return cls._of(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"the history does not say what run {record.run_id} was started with"
                f" ({type(error).__name__}: {error}); start another one with `dbtorch run`"
            ) from error

    @classmethod
    def _of(cls, record: RunRecord) -> RunOptions:
        kept = record.options
        words = tuple(kept["dbt_args"])
        if "--target" not in words:  # the default may be another one by now
            words += ("--target", record.target)
        cwd = Path(kept.get("cwd") or Path.cwd())
        return cls(
            pipeline=record.pipeline,
            dbt_args=words,
            cwd=cwd if cwd.is_dir() else Path.cwd(),
            pipeline_args=tuple(kept.get("pipeline_args", ())),
            narrowed=kept["narrowed"],
            overrides=Settings(**kept["overrides"]),
            steps=kept["steps"],
            downstream_steps=kept.get("downstream_steps", True),  # as it was before it was asked
            freshness=kept.get("freshness", True),
            checks=kept.get("checks", True),
            grace=kept.get("grace"),
        )

    def of_this_execution(self) -> dict[str, Any]:
        """What a retry takes from its own command line."""
        mine: dict[str, Any] = {
            "project_dir": self.project_dir,
            "database_url": self.database_url,
            "artifacts_url": self.artifacts_url,
            "command": self.command,
            "deadline": self.deadline,
            "deadline_action": self.deadline_action,
            "wait": self.wait,
            "tick": self.tick,
            "shared": self.shared,
            "standby": self.standby,
        }
        if self.grace is not None:
            mine["grace"] = self.grace
        if self.overrides != Settings():
            mine["overrides"] = self.overrides
        return mine


def _is_ours(words: Sequence[str]) -> bool:
    """Whether there may be something in these options that dbt cannot read."""
    return any("step:" in word or "check:" in word for word in words)


def pipeline_of(config: Config, options: RunOptions) -> PipelineSpec:
    """The pipeline asked for; without one, everything."""
    if options.spec is not None:
        return options.spec
    name = options.pipeline or DEFAULT_PIPELINE
    if name in config.pipelines:
        return config.pipelines[name]
    if name == DEFAULT_PIPELINE:
        return PipelineSpec(name=name)
    known = ", ".join([*config.pipelines, DEFAULT_PIPELINE])
    where = config.origin.file or "dbtorch.yml"
    raise NotFound(f"{where} has no pipeline {name!r}; it has: {known}")
