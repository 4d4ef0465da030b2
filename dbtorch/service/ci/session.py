"""The dbt session that says what a pull request changes, and asks the warehouse before and after.

The run itself has a session of its own. This one executes nothing but questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from dbtorch.adapters.clock import SystemClock
from dbtorch.adapters.dbt.project_code import read_code
from dbtorch.adapters.run_files import RunFiles
from dbtorch.adapters.state_dir import state_dir
from dbtorch.app.inbox import Inbox
from dbtorch.app.step_wiring import texts_to_resolve
from dbtorch.core.params import settled
from dbtorch.core.run.simulation import forecast
from dbtorch.ports.engine import Engine, Selected
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.project.options import RunOptions, pipeline_of
from dbtorch.service.project.project import Project
from dbtorch.service.run.context import RunContext
from dbtorch.service.run.control import RunControl
from dbtorch.service.wiring.connecting import connect
from dbtorch.service.wiring.engines import Engines

#: The table that says whose a schema is.
MARKER = "dbtorch_ci"


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSession:
    """An open session."""

    project: Project
    options: RunOptions
    engine: Engine
    selected: Selected
    inbox: Inbox

    def expected_seconds(self, durations: Mapping[str, float]) -> float:
        """How long the run takes if each node does what it did. Raises `PlanError`."""
        opened = OpenedPlan.of(self.project, self.selected, self.options, None)
        return forecast(replace(opened.planned.plan, expected=durations)).seconds

    def connect(self) -> None:
        """Connect to the warehouse. Raises `EngineError`."""
        self.engine.accept()
        connect(self.engine, self.inbox)

    def databases(self) -> set[str]:
        """The databases of the project's nodes."""
        code = read_code(self.selected.target_path / "manifest.json")
        return {one.database for one in code.resources.values() if one.database and one.relation}

    def mark(
        self, schemas: Sequence[tuple[str, str]], pr: str, project: str
    ) -> dict[tuple[str, str], bool]:
        """Make the schemas with a marker in each; answers which have it.

        One that holds what somebody else has made has none. Raises `EngineError`.
        """
        at = SystemClock().now().isoformat(timespec="seconds")
        marker = {"pr": pr, "project": project, "built_at": at}
        return {where: self.engine.mark_schema(*where, MARKER, marker) for where in schemas}

    def release(self) -> None:
        """Let another process have the warehouse's file."""
        self.engine.release()


@contextmanager
def open_ci_session(
    project: Project, options: RunOptions, control: RunControl
) -> Iterator[CiSession]:
    """Let dbt read the project and select. Raises `EngineError`, `UsageError`."""
    pipeline = pipeline_of(project.config, options)
    run_context = RunContext.of(
        pipeline,
        None,
        SystemClock().now(),
        run_id=f"ci-{pipeline.name}",
        params=settled(pipeline.name, pipeline.params, options.params),
    )
    inbox = Inbox()
    engine = Engines(
        project=project,
        args=options.dbt_args_for(project.config),
        files=RunFiles(state_dir(project.dir, options.environ), run_context.run_id),
        run_context=run_context,
        cwd=options.cwd,
        environ=options.environ,
    ).chosen(inbox.put)
    try:
        control.kills(engine.kill)
        engine.leave_out_start_hooks()
        with control.explains():
            selected = engine.open(texts_to_resolve(project.config))
        yield CiSession(
            project=project, options=options, engine=engine, selected=selected, inbox=inbox
        )
    finally:
        engine.close()
