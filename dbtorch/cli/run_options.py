"""What the command line says about a run, and which pipeline that is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.cli.errors import UsageError
from dbtorch.core.config import Config, PipelineSpec, Settings
from dbtorch.core.deadline import DeadlineAction, DeadlineRule

if TYPE_CHECKING:
    from dbtorch.core.history import RunRecord

#: The pipeline of a project that names none: everything.
DEFAULT_PIPELINE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says about a run."""

    project_dir: str | None = None
    pipeline: str | None = None
    dbt_args: tuple[str, ...] = ()
    narrowed: bool = False  # --select, --exclude or --selector was given
    overrides: Settings = field(default_factory=Settings)
    steps: bool = True
    freshness: bool = True  # sources are checked
    checks: bool = True
    database_url: str | None = None
    log_format: str = "text"
    logical_date: datetime | None = None
    fail_on_empty: bool = False
    grace: float | None = None
    deadline: DeadlineRule | None = None
    deadline_action: DeadlineAction | None = None
    command: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)  # what relative paths in dbt's options count from

    def dbt_args_for(self, config: Config) -> tuple[str, ...]:
        """Options for dbt: the given ones, and the pipeline's where they say nothing."""
        pipeline = pipeline_of(config, self)
        words = list(self.dbt_args)
        if not self.narrowed:
            words += [word for text in pipeline.select for word in ("--select", text)]
            words += [word for text in pipeline.exclude for word in ("--exclude", text)]
            words += ["--selector", pipeline.selector] if pipeline.selector else []
        if pipeline.target and "--target" not in words:
            words += ["--target", pipeline.target]
        return tuple(words)

    def everything(self, config: Config) -> bool:
        """Whether nothing narrows the run to a part of the project."""
        pipeline = pipeline_of(config, self)
        chosen = pipeline.select or pipeline.exclude or pipeline.selector
        return not self.narrowed and not chosen

    def to_record(self) -> dict[str, Any]:
        """What a retry needs to plan the same run again."""
        return {
            "dbt_args": list(self.dbt_args),
            "narrowed": self.narrowed,
            "overrides": asdict(self.overrides),
            "steps": self.steps,
            "freshness": self.freshness,
            "checks": self.checks,
            "grace": self.grace,
            "cwd": str(self.cwd),
        }

    @classmethod
    def from_record(cls, record: RunRecord) -> Options:
        """The options a run was started with."""
        kept = record.options
        words = tuple(kept["dbt_args"])
        if "--target" not in words:  # the default may be another one by now
            words += ("--target", record.target)
        cwd = Path(kept.get("cwd") or Path.cwd())
        return cls(
            pipeline=record.pipeline,
            dbt_args=words,
            cwd=cwd if cwd.is_dir() else Path.cwd(),
            narrowed=kept["narrowed"],
            overrides=Settings(**kept["overrides"]),
            steps=kept["steps"],
            freshness=kept.get("freshness", True),
            checks=kept.get("checks", True),
            grace=kept.get("grace"),
        )

    def of_this_stretch(self) -> dict[str, Any]:
        """What a retry takes from its own command line."""
        mine: dict[str, Any] = {
            "project_dir": self.project_dir,
            "database_url": self.database_url,
            "log_format": self.log_format,
            "command": self.command,
            "deadline": self.deadline,
            "deadline_action": self.deadline_action,
        }
        if self.grace is not None:
            mine["grace"] = self.grace
        if self.overrides != Settings():
            mine["overrides"] = self.overrides
        return mine


def pipeline_of(config: Config, options: Options) -> PipelineSpec:
    """The pipeline asked for; without one, everything."""
    name = options.pipeline or DEFAULT_PIPELINE
    if name in config.pipelines:
        return config.pipelines[name]
    if name == DEFAULT_PIPELINE:
        return PipelineSpec(name=name)
    known = ", ".join([*config.pipelines, DEFAULT_PIPELINE])
    where = config.origin.file or "dbtorch.yml"
    raise UsageError(f"{where} has no pipeline {name!r}; it has: {known}")
