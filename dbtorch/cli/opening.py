"""What `run`, `plan`, `graph` and `validate` have in common: options, dbt's answer, a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from dbtorch.adapters.config import settings_for
from dbtorch.app.checking import Remember, earlier
from dbtorch.app.planning import Choice, Planned, make_plan
from dbtorch.cli.aside import refuse_what_would_be_wrong
from dbtorch.cli.project import Project
from dbtorch.cli.run_options import Options, pipeline_of
from dbtorch.core.graph import Kind
from dbtorch.core.measure import median
from dbtorch.ports import Selected, Store

#: dbt's options for tables that are not whole: what is said of whole ones is not about them.
_PARTIAL = frozenset({"--empty", "--sample"})


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
        expected = {id: median(seconds) or 0.0 for id, seconds in durations.items()}

        remember: Remember | None = None
        if store is not None:
            remember = partial(
                earlier, store, project=selected.project, target=target, run_id=run_id
            )
        planned = make_plan(selected, config, settings, expected, choice, remember)
        if selected.batches is not None:
            refuse_what_would_be_wrong(planned, selected, options.dbt_args)
        return cls(selected=selected, planned=planned, durations=durations)
