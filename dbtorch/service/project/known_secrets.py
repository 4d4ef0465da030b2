"""Which secrets dbtorch itself is told: what makes the one scrubber of a command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbtorch.core.errors import UsageError
from dbtorch.core.failures.scrub import (
    SECRET_PREFIX,
    Scrubber,
    named_secrets,
    passwords_of,
    secrets_of,
    url_secrets,
    url_templates,
)
from dbtorch.service.project.profiles import profiles_files

if TYPE_CHECKING:
    from dbtorch.core.alerts.routing import AlertsSpec
    from dbtorch.service.project.project import Project


def scrubber_of_environment(environ: Mapping[str, str] = os.environ) -> Scrubber:
    """Knows what the environment has: for what is said before, or without, a project."""
    urls = [environ.get(f"DBTORCH_{name}_URL", "") for name in ("DATABASE", "ARTIFACTS")]
    return Scrubber([*secrets_of(environ), *(one for url in urls for one in passwords_of(url))])


def scrubber_of(
    project: Project,
    dbt_args: Sequence[str] = (),
    *,
    urls: Sequence[str | None] = (),
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Scrubber:
    """Knows what environment, command line, dbtorch.yml and profiles.yml say.

    ``urls`` are those of the command line.
    """
    config = project.config
    said = (*urls, config.database_url, config.artifacts_url)
    more = [one for url in said for one in passwords_of(url or "")]
    if config.alerts is not None:
        more += alert_secrets(config.alerts, environ)
    more += secrets_of(given_vars(dbt_args))
    files = profiles_files(project, dbt_args, environ, cwd or Path.cwd())
    profiles = next((file for file in files if file.is_file()), None)
    more += profile_secrets(profiles, environ) if profiles is not None else []
    return scrubber_of_environment(environ).knowing(more)


def refuse_secrets(params: Mapping[str, Any], hide: Scrubber) -> None:
    """Raise `UsageError` for a parameter that holds a secret: the history would show it."""
    for name, value in params.items():
        if hide.json(value) != value:
            raise UsageError(
                f"parameter {name} holds a secret, and parameters are kept and shown as they are:"
                " let the step read it from an environment variable"
            )


def alert_secrets(spec: AlertsSpec, environ: Mapping[str, str]) -> list[str]:
    """Tokens, passwords and URLs of notifiers; what cannot be filled in is not used either."""
    found: list[str] = []
    if not spec.notifiers:
        return found
    from dbtorch.adapters.config.environment import rendered
    from dbtorch.core.errors import Refused

    for written in spec.notifiers.values():
        for name, value in written.items():
            try:
                setting = rendered(value, environ)
            except Refused:
                continue
            found += named_secrets({name: setting})
            found += [setting] if name == "url" and isinstance(setting, str) else []
    return found


def profile_secrets(path: Path, environ: Mapping[str, str]) -> list[str]:
    """Passwords, keys and tokens of a profiles.yml; what it reads of variables among them."""
    import yaml

    from dbtorch.adapters.config import environment
    from dbtorch.core.errors import Refused

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        said = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506  # a safe one
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return []  # dbt says what is wrong
    found: list[str] = []
    named = list(named_secrets(said)) if isinstance(said, Mapping) else []
    for value in [*named, *url_templates(said)]:
        with contextlib.suppress(Refused):
            filled = environment.render(value, environ) if "{{" in value else value
            found += [filled] if value in named else url_secrets(filled)
    return found


def given_vars(dbt_args: Sequence[str]) -> Mapping[str, Any]:
    """What ``--vars`` says, where something of it is secret."""
    found: dict[str, Any] = {}
    for option, value in pairwise(dbt_args):
        if option == "--vars" and SECRET_PREFIX in value:
            import yaml

            try:
                said = yaml.safe_load(value)
            except yaml.YAMLError:
                said = None  # dbt refuses it, too
            found |= said if isinstance(said, Mapping) else {SECRET_PREFIX: value}
    return found
