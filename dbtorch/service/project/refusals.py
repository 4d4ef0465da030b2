"""What dbt would refuse, in its own time and words: said at once, in ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from dbtorch.core.errors import ProjectError, UsageError

_FALSE = ("", "0", "false", "f", "no", "n")


def refuse(args: Sequence[str], environ: Mapping[str, str], profiles: Sequence[Path]) -> None:
    """Raise `UsageError` for options of dbt that cannot work.

    ``profiles`` are where profiles.yml may be, in dbt's order.
    """
    said = dict(pairwise(args))
    if "--vars" in said:
        _check_vars(said["--vars"])
    _check_deferral(args, said, environ)
    _check_profiles(profiles)


def _check_vars(text: str) -> None:
    import yaml

    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        from dbtorch.adapters.config.yaml_errors import meant

        raise UsageError(f"--vars cannot be read as YAML: {meant(error)}; {_VARS}") from error
    if not isinstance(found, dict | None):
        raise UsageError(f"--vars has no names in it; {_VARS}")


_VARS = "write it as in --vars '{day: 2026-03-01}'"


def _check_deferral(
    args: Sequence[str], said: Mapping[str, str], environ: Mapping[str, str]
) -> None:
    wanted = [word for word in args if word in ("--defer", "--no-defer")]
    by_variable = environ.get("DBT_DEFER", "").lower() not in _FALSE
    if (wanted[-1] != "--defer") if wanted else not by_variable:
        return
    names = ("--state", "--defer-state")
    if any(name in said for name in names):
        return
    if any(
        environ.get(name) for name in ("DBT_STATE", "DBT_DEFER_STATE", "DBT_ARTIFACT_STATE_PATH")
    ):
        return
    what = "--defer" if wanted else "DBT_DEFER"
    raise UsageError(
        f"{what} needs a state to defer to; name the folder of its manifest.json with --state"
    )


def _check_profiles(files: Sequence[Path]) -> None:
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        places = " or ".join(dict.fromkeys(str(file.parent) for file in files))
        raise ProjectError(
            f"there is no profiles.yml in {places}; write one there (dbtorch doctor checks it), or"
            " name its folder with --profiles-dir"
        )
    if not _is_mapping(path):
        raise ProjectError(
            f"{path} has no profiles in it: it must map the name of a profile to its outputs, as"
            " dbt's documentation of profiles.yml shows"
        )


def _is_mapping(path: Path) -> bool:
    """Whether its first words are a name and what belongs to it; what is no YAML dbt explains."""
    import yaml

    try:
        events = yaml.parse(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for event in events:
            if isinstance(event, yaml.NodeEvent):
                return isinstance(event, yaml.MappingStartEvent)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return True
    return False
