"""Where the states of production are: beside the files of runs, or in dbtorch's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dbtorch.adapters.artifacts import open_artifacts
from dbtorch.adapters.run_files import file_safe
from dbtorch.adapters.state_dir import state_dir
from dbtorch.ports.artifacts import Artifacts
from dbtorch.service.project.artifacts import artifacts_url_of
from dbtorch.service.project.options import RunOptions
from dbtorch.service.project.project import Project
from dbtorch.service.project.store_scope import id_of

#: Folder of all states at an ``--artifacts-url``. It is nobody's project.
_STATES = "_state"


def place_of(project: Project, options: RunOptions, pipeline: str) -> Artifacts:
    """What keeps the states of a pipeline; each of them is to it what a run is to others.

    Raises `UsageError`.
    """
    url = artifacts_url_of(project, options)
    if url:
        top = f"{url.rstrip('/')}/{_STATES}/{file_safe(id_of(project, options.environ))}"
    else:
        top = str(own_states(project.dir, options.environ))
    return open_artifacts(top, pipeline, project.dir)


def own_states(project_dir: Path, environ: Mapping[str, str]) -> Path:
    """The folder of states where no ``--artifacts-url`` says another."""
    return state_dir(project_dir, environ).absolute() / "state"
