"""Where files of a project's runs are kept for every machine, if anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project, configured_artifacts

if TYPE_CHECKING:
    from dbtorch.ports.artifacts import Artifacts


def artifacts_of(project: Project, options: RunOptions) -> Artifacts | None:
    """The place that options, environment or dbtorch.yml name; None where they name none.

    Nothing is asked of it yet. Raises `UsageError`.
    """
    url = artifacts_url_of(project, options)
    return _opened(url, project, options.environ) if url else None


def artifacts_url_of(project: Project, options: RunOptions) -> str | None:
    """Its URL."""
    said = options.artifacts_url or options.environ.get("DBTORCH_ARTIFACTS_URL")
    return said or project.config.artifacts_url


def artifacts_for_reading(
    project_dir: Path, artifacts_url: str | None, environ: Mapping[str, str] = os.environ
) -> Artifacts | None:
    """The same for who only reads, and has read nothing of the project so far."""
    url = configured_artifacts(artifacts_url, project_dir, environ)
    if not url:
        return None
    from dbtorch.adapters.config.loading import load
    from dbtorch.service.project.project import name_of

    config = load(project_dir, environ=environ)
    project = Project(dir=project_dir, name=name_of(project_dir), config=config, environ=environ)
    return _opened(url, project, environ)


def _opened(url: str, project: Project, environ: Mapping[str, str]) -> Artifacts:
    from dbtorch.adapters.artifacts import open_artifacts
    from dbtorch.service.project.store_scope import id_of

    return open_artifacts(url, id_of(project, environ), project.dir)
