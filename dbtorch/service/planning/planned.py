"""What `run`, `plan`, `graph` and `validate` have in common: options, dbt's answer, a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from dbtorch.app.check_planning import Remember, earlier
from dbtorch.app.planning import Planned, graph_problems, make_plan
from dbtorch.app.step_wiring import Choice
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.measure import median
from dbtorch.service.planning.operation_limits import refuse_what_would_be_wrong
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project

if TYPE_CHECKING:
    from dbtorch.core.config import Config
    from dbtorch.core.settings import Settings
    from dbtorch.ports.engine import Selected
    from dbtorch.ports.store import Store

#: Names of steps that are written out.
_LISTED = 5

#: dbt's options for tables that are not whole: what is said of whole ones is not about them.
_PARTIAL = frozenset({"--empty", "--sample"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPlan:
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
    def held_back(self) -> str:
        """Which steps after the selection stay out, in one sentence; empty for none."""
        names = self.planned.held_back
        if not names:
            return ""
        listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
        return (
            f"not selected, so left out: step{'s' * (len(names) > 1)} {listed}"
            " (--downstream-steps, or --select step:<name>)"
        )

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
        options: RunOptions,
        store: Store | None,
        *,
        run_id: str = "",
    ) -> OpenedPlan:
        """Plan with what dbt answered, for this run. Raises `ConfigError` and `PlanError`."""
        config = project.config
        said = any("dbtorch" in node.meta for node in selected.nodes)  # most projects say nothing
        settings = _settings(selected, config, project) if said else {}
        target = str(selected.target["name"])
        durations = store.durations(target) if store is not None else {}
        choosing = options.choosing(config)
        pipeline = pipeline_of(config, options)
        choice = Choice(
            overrides=options.overrides,
            pipeline=pipeline.settings,
            owner=pipeline.owner or config.defaults.owner or "",
            steps=options.steps,
            everything=choosing.everything,
            downstream=choosing.downstream,
            named=choosing.select.steps
            | (choosing.select.reached if choosing.downstream else frozenset()),
            left_out=choosing.exclude.steps | choosing.exclude.reached,
            unchecked=choosing.exclude.checks,
            freshness=options.freshness,
            checks=options.checks and not _PARTIAL & set(options.dbt_args),
        )
        expected = {id: median(seconds) or 0.0 for id, seconds in durations.items()}

        remember: Remember | None = None
        if store is not None:
            remember = partial(earlier, store, target=target, run_id=run_id)
        planned = make_plan(selected, config, settings, expected, choice, remember)
        if selected.batches is not None:
            refuse_what_would_be_wrong(planned, selected, options.dbt_args, options.environ)
        return cls(selected=selected, planned=planned, durations=durations)


def _settings(selected: Selected, config: Config, project: Project) -> dict[str, Settings]:
    """What nodes say in ``meta.dbtorch``, by id. Raises `ConfigError` with all that is wrong."""
    from dbtorch.adapters.config.meta import settings_for

    try:
        return settings_for(selected.nodes, config, project.dir)
    except ConfigError as error:
        raise ConfigError([*error.problems, *graph_problems(selected, config)]) from error
