"""Whether a project fits together, and what it could have and has not. Asks no warehouse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from dbtorch.adapters.config.locate import Locator
from dbtorch.core.ci.lint import LintSpec, style
from dbtorch.core.ci.reports.findings import Finding
from dbtorch.core.errors import ConfigError, DbtorchError, EngineError, Placed, PlanError
from dbtorch.core.model.measure import relation_of
from dbtorch.core.model.ownership import owned
from dbtorch.core.text.phrases import many
from dbtorch.service.planning.planned import OpenedPlan
from dbtorch.service.planning.preview import open_valid
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, open_project
from dbtorch.service.tell import Tell, nobody

#: What the rule of a project is called that does not fit together; no baseline knows it.
BROKEN = "broken"

_FILE = r"(?P<file>[\w./-]+\.(?:ya?ml|sql|py|csv))"
_NAMED = re.compile(rf"(?:(?<=\()|(?<=in )|(?<=file ')){_FILE}")
_LINE = re.compile(r"\bline (\d+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """What was found."""

    findings: tuple[Finding, ...] = ()  # that no baseline knows
    known: tuple[Finding, ...] = ()  # of the baseline, and still there
    gone: tuple[str, ...] = ()  # of the baseline, and not there any more
    strict: bool = False  # there is a baseline: whatever is new counts
    error: DbtorchError | None = None  # the project does not fit together
    opening: OpenedPlan | None = field(default=None, repr=False)  # None: it does not

    @property
    def ok(self) -> bool:
        """Whether nothing was found that counts."""
        counts = (self.strict or one.level == "error" for one in self.findings)
        return self.error is None and not any(counts)


def lint(options: RunOptions, *, warn: Tell = nobody, note: Tell = nobody) -> Linted:
    """Look at everything that can be looked at without a warehouse.

    Raises `UsageError` for what is no project.
    """
    try:
        project = open_project(options.project_dir, options.environ)
        with open_valid(options, warn=warn, note=note) as opening:
            return Linted(findings=tuple(_style(opening, project)), opening=opening)
    except (ConfigError, PlanError) as error:
        return Linted(findings=tuple(map(place_of_ours, error.problems)), error=error)
    except EngineError as error:
        return Linted(findings=(place_of_dbt(str(error)),), error=error)


def _style(opening: OpenedPlan, project: Project) -> Iterator[Finding]:
    config, selected = project.config, opening.selected
    locator = Locator(project.dir)
    nodes = owned(
        selected.nodes,
        among=(),  # whose exposure it is says nothing of whose it is
        edges=(),
        folders=config.alerts.folders if config.alerts is not None else {},
        otherwise=config.defaults.owner or "",
    )
    for one in style(
        nodes,
        selected.edges,
        config.lint or LintSpec(),
        package=project.name,
        checked={relation_of(id) for id in opening.planned.plan.checks},
        runbook=config.defaults.runbook or "",
    ):
        yield replace(one, line=locator.described(one.node, one.path))


def place_of_ours(problem: str) -> Finding:
    """Where dbtorch says that it is, if it says so."""
    if isinstance(problem, Placed):
        file, line, text = problem.file, problem.line, problem.says
    else:
        file, line, text = "", 0, problem
    return Finding(level="error", rule=BROKEN, node="", path=file, line=line, text=text)


def place_of_dbt(sentence: str) -> Finding:
    """What dbt says names a file, and sometimes a line."""
    named = _NAMED.search(sentence)
    path = named["file"] if named is not None else ""
    line = _LINE.search(sentence) if path else None
    return Finding(
        level="error",
        rule=BROKEN,
        node="",
        path=path,
        line=int(line[1]) if line is not None else 0,
        text=sentence,
    )


def summary(found: Linted) -> str:
    """How many there are, in one sentence."""
    new = "new finding" if found.strict else "finding"
    parts = [many(len(found.findings), new)]
    parts += [f"{len(found.known)} in the baseline"] if found.known else []
    parts += [f"{len(found.gone)} of the baseline are gone: update it"] if found.gone else []
    return "; ".join(parts)
