"""What SQL steps and checks need of a project whose dbt is called for each batch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dbtorch.app.planning import Planned
from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.naming import label

if TYPE_CHECKING:
    from dbtorch.ports.engine import Selected

#: Options that change what ref() means, and that `dbt run-operation` does nothing with.
_BEYOND = ("--defer", "--empty", "--sample")


def refuse_what_would_be_wrong(
    planned: Planned,
    selected: Selected,
    dbt_args: Iterable[str],
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Raise `UsageError` where they would ask or change another relation than is meant."""
    nodes = planned.plan.graph.nodes.values()
    steps = [node for node in nodes if node.kind is Kind.STEP and node.id in planned.on_engine]
    instead = "or take the session engine (engine.type: session)"
    for option in _BEYOND if steps else ():
        variable = environ.get("DBT_" + option.removeprefix("--").upper(), "").lower()
        if option in dbt_args or variable not in ("", "0", "false"):
            raise UsageError(
                f"with {option}, ref() in SQL step {steps[0].name} would name another relation than"
                f" in models; leave out steps (--no-steps), {instead}"
            )
    checks = [planned.plan.graph.nodes[id] for id in planned.plan.checks]
    if not steps and not checks:
        return
    from dbtorch.adapters.dbt.process.operations.isolated_hooks import (
        moved_file,  # which most runs have no use for
    )

    moved = moved_file(selected)
    if moved:
        what = f"SQL step {steps[0].name}" if steps else label(checks[0])
        raise UsageError(
            f"{what} would open another DuckDB file, because its path is relative ({moved}); with"
            f" the process engine and dbt 1 make it absolute, {instead}"
        )
