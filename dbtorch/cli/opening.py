"""What `run`, `plan`, `graph` and `validate` have in common: options, dbt's answer, a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dbtorch.adapters.config import settings_for
from dbtorch.app.checking import earlier
from dbtorch.app.planning import Choice, Planned, make_plan
from dbtorch.cli.errors import UsageError
from dbtorch.cli.project import Project
from dbtorch.core.checks import History, Watch
from dbtorch.core.config import Config, PipelineSpec, Settings
from dbtorch.core.deadline import DeadlineAction, DeadlineRule
from dbtorch.core.graph import Kind
from dbtorch.core.history import RunRecord
from dbtorch.core.naming import name_among
from dbtorch.ports import Selected, Store

#: The pipeline of a project that names none: everything.
DEFAULT_PIPELINE = "default"

#: dbt's options for tables that are not whole: what is said of whole ones is not about them.
_PARTIAL = frozenset({"--empty", "--sample"})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What dbt answered, and the plan made of it."""

    selected: Selected
    planned: Planned
    durations: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # of the past

    @property
    def empty(self) -> bool:
        """Whether there is nothing to run."""
        hooks_and_ends = (Kind.OPERATION, Kind.SESSION)
        nodes = self.planned.plan.graph.nodes.values()
        return all(node.kind in hooks_and_ends for node in nodes)

    @property
    def starts_with_steps(self) -> bool:
        """Whether some step waits for nothing."""
        graph = self.planned.plan.graph
        return any(
            node.kind is Kind.STEP and not graph.parents(id) for id, node in graph.nodes.items()
        )

    @classmethod
    def of(
        cls,
        project: Project,
        selected: Selected,
        options: Options,
        store: Store | None,
        *,
        run_id: str = "",
    ) -> Opening:
        """Plan with what dbt answered, for this run. Raises `ConfigError` and `PlanError`."""
        config = project.config
        from statistics import median  # takes a while to import, and few commands ask

        settings = settings_for(selected.nodes, config, project.dir)
        target = str(selected.target["name"])
        durations = store.durations(selected.project, target) if store is not None else {}
        choice = Choice(
            overrides=options.overrides,
            pipeline=pipeline_of(config, options).settings,
            steps=options.steps,
            everything=options.everything(config),
            freshness=options.freshness,
            checks=options.checks and not _PARTIAL & set(options.dbt_args),
        )
        expected = {id: median(seconds) for id, seconds in durations.items()}

        def remember(watch: Watch) -> History:
            if store is None:
                return History()
            return earlier(store, watch, selected.project, target, run_id)

        planned = make_plan(selected, config, settings, expected, choice, remember)
        if selected.batches is not None and planned.plan.checks:
            name = name_among(planned.plan.graph.nodes[min(planned.plan.checks)])
            raise UsageError(
                f"the checks of {name} need a connection that stays open, which only the session"
                " engine has; leave checks out with --no-checks, or set engine.type to session"
            )
        return cls(selected=selected, planned=planned, durations=durations)
