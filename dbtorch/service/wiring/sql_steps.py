"""The `sql:` steps of a project, which an engine executes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.core.config import WAIT, StepSpec
from dbtorch.core.model.wait import NOT_YET
from dbtorch.service.project.project import Project
from dbtorch.service.run.context import RunContext

if TYPE_CHECKING:
    from dbtorch.adapters.dbt.sql_step_kind import SqlStep


#: dbt asks while it compiles: an answer that is none, or false, is said as an error.
_WAITS = (
    "{% set dbtorch_query %}QUERY{% endset %}"
    "{% set dbtorch_found = run_query(dbtorch_query) %}"
    "{% if execute and not (dbtorch_found and dbtorch_found.rows and dbtorch_found.rows[0][0]) %}"
    "{{ exceptions.raise_compiler_error('" + NOT_YET + "') }}{% endif %}select 1"
)


def sql_steps(
    project: Project, run_context: RunContext, environ: Mapping[str, str]
) -> dict[str, SqlStep]:
    """Every SQL step by its node's id. Raises `UsageError` for one that cannot be read."""
    specs = [spec for spec in project.config.steps.values() if spec.on_engine]
    if not specs:
        return {}
    from dbtorch.adapters.dbt.sql_step_kind import SqlStep

    return {
        spec.id: SqlStep(
            text=_sql_text(spec, project.dir), skip=partial(_skip, spec, run_context, environ)
        )
        for spec in specs
    }


def _sql_text(spec: StepSpec, project_dir: Path) -> str:
    """The SQL of a step: written in place, or in a file of the project."""
    from dbtorch.core.errors import UsageError

    if spec.type == WAIT:
        return _WAITS.replace("QUERY", str(spec.action["sql"]), 1)
    text = spec.action
    if not isinstance(text, str):
        raise UsageError(f"{spec.origin}: sql of step {spec.name} must be text")
    if not text.strip().endswith(".sql") or len(text.split()) > 1:
        return text
    try:
        return (project_dir / text.strip()).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{spec.origin}: step {spec.name} cannot read {text.strip()}: {error.strerror}"
        ) from error


def _skip(
    spec: StepSpec, run_context: RunContext, environ: Mapping[str, str], known: Mapping[str, Any]
) -> str:
    """Why a sql step is left out: its ``when`` comes to nothing."""
    if spec.when is None:
        return ""
    from dbtorch.adapters.template import render

    value = render(
        spec.when,
        env=environ,
        vars=known["vars"],
        run=run_context.run,
        outputs=run_context.outputs,
        extra={"target": known["target"]},
    )
    nothing = str(value).strip().lower() in ("", "false", "none", "0")
    return f"when: {spec.when} comes to nothing" if nothing else ""
