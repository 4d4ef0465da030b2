"""Reads ``dbtorch.yml``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path as File
from typing import Any

from dbtorch.adapters.config import environment, specs
from dbtorch.adapters.config.document import Document, read
from dbtorch.adapters.config.keys import ROOT, STEPS
from dbtorch.adapters.config.problems import ConfigError, Path, Refused, Report, dotted, suggestion
from dbtorch.core.config import Config, Origin, StepSpec

NAMES = ("dbtorch.yml", "dbtorch.yaml")

#: Texts whose environment variables are filled in at once; all others are rendered when they run.
_EARLY: tuple[Path, ...] = (
    ("engine", "python"),
    ("engine", "executable"),
    ("engine", "profiles_dir"),
    ("database_url",),
)


def load(project_dir: File, *, environ: Mapping[str, str] | None = None) -> Config:
    """What ``dbtorch.yml`` says, or the defaults when there is none. Raises `ConfigError`."""
    found = [name for name in NAMES if os.path.lexists(project_dir / name)]
    if not found:
        return Config()
    if len(found) > 1:
        raise ConfigError([f"there are both {' and '.join(found)}; keep one of them"])
    document = read(project_dir / found[0], found[0])
    return _config(document, os.environ if environ is None else environ)


def step_of(
    name: str, options: Mapping[str, Any], origin: Origin, *, pools: Collection[str] = ()
) -> StepSpec:
    """A step that was declared elsewhere, with the keys of ``dbtorch.yml``, its type included.

    Raises `ConfigError`.
    """
    report = Report(name=lambda at: f"{dotted(at[1:])} of step {name}".removeprefix(" of "))
    said = STEPS.read({name: options}, (), report).get(name, {})
    if "pool" in said and said["pool"] not in pools:
        report.wrong((name, "pool"), unknown_pool(said["pool"], pools))
    if not report.problems:
        spec = specs.step(name, said, origin)
        _check_action(spec, (), report)
    if report.problems:
        raise ConfigError(f"{origin}: {problem.text}" for problem in report.problems)
    return spec


def _config(document: Document, environ: Mapping[str, str]) -> Config:
    if document.data is None:
        empty = "is empty; write `version: 1` or remove the file"
        raise ConfigError([f"{document.file}:1: {empty}"])
    report = Report(name=dotted)
    said = ROOT.read(document.data, (), report) or {}
    broken = {problem.at[:-1] for problem in document.problems}
    others = [problem for problem in report.problems if problem.at not in broken]
    report.problems = [*document.problems, *others]
    _check_pools(document, said, report)
    _render(said, environ, report)
    origin = Origin(file=document.file)
    steps = dict(_steps(document, said, report))
    pipelines = {
        name: specs.pipeline(name, part, _origin(document, ("pipelines", name)))
        for name, part in said.get("pipelines", {}).items()
        if not _touched(report, ("pipelines", name))
    }
    if report.problems:
        raise ConfigError(_sentences(document, report))
    return specs.config(
        said,
        steps,
        pipelines,
        origin,
        where=lambda at: str(_origin(document, at)),
    )


def _steps(
    document: Document, said: Mapping[str, Any], report: Report
) -> Iterator[tuple[str, StepSpec]]:
    for name, part in said.get("steps", {}).items():
        at = ("steps", name)
        if _touched(report, at):
            continue
        spec = specs.step(name, part, _origin(document, at))
        _check_action(spec, (*at, spec.type), report)
        yield name, spec


def _check_action(spec: StepSpec, at: Path, report: Report) -> None:
    """Let the type of the step look at what it is to do. dbt's connection takes any SQL."""
    if spec.type == "sql":
        return
    from dbtorch.adapters.steps.base import StepError
    from dbtorch.adapters.steps.catalog import find

    try:
        find(spec.type).check(spec.action)
    except StepError as error:
        report.add(at, f"step {spec.name}: {error}")


def _check_pools(document: Document, said: Mapping[str, Any], report: Report) -> None:
    """A pool that nobody defined would limit nothing."""
    written = document.data.get("pools") if isinstance(document.data, dict) else None
    known = list(written) if isinstance(written, dict) else []
    users: list[tuple[Path, Any]] = [(("defaults",), said.get("defaults", {}))]
    users += [(("steps", name), part) for name, part in said.get("steps", {}).items()]
    for at, part in users:
        if (pool := part.get("pool")) is not None and pool not in known:
            report.wrong((*at, "pool"), unknown_pool(pool, known))


def unknown_pool(pool: str, known: Collection[str]) -> str:
    """What is said about a pool that is not defined."""
    hint = suggestion(pool, known) or "define it, such as `pools: {name: 4}` in dbtorch.yml"
    return f'names the pool "{pool}", which is not defined; {hint}'


def _render(said: dict[str, Any], environ: Mapping[str, str], report: Report) -> None:
    for at in _EARLY:
        part: Any = said
        for key in at[:-1]:
            part = part.get(key, {})
        if at[-1] not in part:
            continue
        try:
            part[at[-1]] = environment.render(part[at[-1]], environ)
        except Refused as error:
            report.wrong(at, str(error))


def _touched(report: Report, at: Path) -> bool:
    return any(problem.at[: len(at)] == at for problem in report.problems)


def _origin(document: Document, at: Path) -> Origin:
    return Origin(file=document.file, line=document.line(at))


def _sentences(document: Document, report: Report) -> list[str]:
    """In the order of the lines, each once."""
    lines = [(document.line(problem.at), problem.text) for problem in report.problems]
    return [f"{document.file}:{line}: {text}" for line, text in sorted(dict.fromkeys(lines))]
