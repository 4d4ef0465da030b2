"""A schema of its own for a pull request: the profile that builds there, and what must hold."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dbtorch.adapters.dbt.scratch import ScratchError, outputs_of, redirected
from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.errors import ProjectError, UsageError
from dbtorch.core.model.graph import Kind
from dbtorch.service.ci.forks import refuse_without_secrets
from dbtorch.service.ci.options import CiOptions
from dbtorch.service.production.find import FULL
from dbtorch.service.project.profiles import profiles_files
from dbtorch.service.project.project import Project
from dbtorch.service.project.store_scope import identity_of

#: Kinds that leave something in the warehouse.
_LEAVE = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT, Kind.FUNCTION)


def redirect(project: Project, options: CiOptions, folder: Path) -> tuple[str, ...]:
    """Write a profile that builds in the pull request's schema; answers dbt's options for it.

    Raises `UsageError`, and `NoSecrets` where a fork's job lacks what the profile reads.
    """
    run = options.run
    words, environ = run.dbt_args, run.environ
    target = identity_of(project, None, words, environ=environ, cwd=run.cwd).target
    files = profiles_files(project, words, environ, run.cwd)
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        raise ProjectError(
            f"there is no profiles.yml in {', '.join(str(path.parent) for path in files)}: name its"
            " folder with --profiles-dir"
        )
    try:
        outputs = outputs_of(found, target)
        refuse_without_secrets(options.fork, outputs, target, environ)
        text = redirected(found, target, path=None, schema=options.schema_of)
    except ScratchError as error:
        raise UsageError(str(error)) from error
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "profiles.yml"
    private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(private, "w", encoding="utf-8") as out:
        out.write(text)
    return ("--target", target, "--profiles-dir", str(folder))


def refuse_another(production: Code, now: Code, url: str) -> None:
    """Raise `UsageError` for a state, if there is a ``url`` of one, in which all would be new."""
    if url and not production.resources:
        raise UsageError(
            f"the state of production at {url} has no nodes: name another one with --state, {FULL}"
        )
    if url and production.project and production.project != now.project:
        raise UsageError(
            f"the state of production at {url} is of project {production.project}, and this is"
            f" {now.project}: name the one of this project with --state"
        )


def refuse_production(built: Iterable[Resource], production: Iterable[Resource]) -> None:
    """Raise `UsageError` where something would be built in the place of production's."""
    taken = {_place(one): one for one in production if one.kind in _LEAVE and one.relation}
    for one in _in_warehouse(built):
        if _place(one) in taken:
            raise UsageError(
                f"{one.name} would be built as {one.relation}, which is production's: a"
                " generate_schema_name, target_schema or database of the project names its place"
                " whatever the target's schema is; let it follow target.schema, or leave it out"
                f" with --exclude {one.name}"
            )


def schemas_of(built: Iterable[Resource]) -> list[tuple[str, str]]:
    """Database and schema of everything that is built, each pair once."""
    return list(dict.fromkeys((one.database, one.schema) for one in _in_warehouse(built)))


def _in_warehouse(built: Iterable[Resource]) -> Iterator[Resource]:
    for one in built:
        kept = one.kind in _LEAVE and one.materialized != "ephemeral"
        if one.relation and (kept or one.kind is Kind.TEST):  # a test that stores its failures
            yield one


def _place(one: Resource) -> tuple[str, ...]:
    return tuple(part.lower() for part in one.place)
