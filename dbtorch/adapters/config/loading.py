"""Reads ``dbtorch.yml``."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path as File
from typing import Any

from dbtorch.adapters.config.document import Document, read
from dbtorch.adapters.config.problems import Path, Report, dotted
from dbtorch.adapters.config.schema import ROOT, STEPS
from dbtorch.core.config import Config, Origin, StepSpec
from dbtorch.core.errors import ConfigError, Placed

NAMES = ("dbtorch.yml", "dbtorch.yaml")


def load(project_dir: File, *, environ: Mapping[str, str] | None = None) -> Config:
    """What ``dbtorch.yml`` says, or the defaults when there is none. Raises `ConfigError`."""
    found = [name for name in NAMES if os.path.lexists(project_dir / name)]
    if not found:
        return Config()
    if len(found) > 1:
        raise ConfigError([f"there are both {' and '.join(found)}; keep one of them"])
    document = read(project_dir / found[0], found[0])
    return _config(document, os.environ if environ is None else environ, project_dir)


def step_of(
    name: str, options: Mapping[str, Any], origin: Origin, *, pools: Collection[str] = ()
) -> StepSpec:
    """A step that was declared elsewhere, with the keys of ``dbtorch.yml``, its type included.

    Raises `ConfigError`.
    """
    report = Report(
        name=lambda at: f"{dotted(at[1:])} of step {name}".removeprefix(" of "),
        where=lambda _: origin,
        pools=pools,
    )
    said = STEPS.read({name: options}, (), report)
    if report.problems:
        raise ConfigError(origin.says(problem.text) for problem in report.problems)
    spec: StepSpec = said[name]
    return spec


def _config(document: Document, environ: Mapping[str, str], folder: File) -> Config:
    if document.data is None:
        empty = "is empty; write `version: 1` or remove the file"
        raise ConfigError([Placed(empty, document.file, 1)])
    report = Report(
        name=dotted,
        where=lambda at: _origin(document, at),
        environ=environ,
        folder=folder,
        pools=_pools(document.data),
    )
    found: Config = ROOT.read(document.data, (), report)
    broken = {problem.at[:-1] for problem in document.problems}
    others = [problem for problem in report.problems if problem.at not in broken]
    report.problems = [*document.problems, *others]
    if report.problems:
        raise ConfigError(_sentences(document, report))
    return found


def _pools(data: Any) -> Collection[str]:
    """Pools that are defined, rightly or not."""
    written = data.get("pools") if isinstance(data, dict) else None
    return list(written) if isinstance(written, dict) else []


def _origin(document: Document, at: Path) -> Origin:
    return Origin(file=document.file, line=document.line(at))


def _sentences(document: Document, report: Report) -> list[Placed]:
    """In the order of the lines, each once."""
    lines = [(document.line(problem.at), problem.text) for problem in report.problems]
    return [Placed(text, document.file, line) for line, text in sorted(dict.fromkeys(lines))]
