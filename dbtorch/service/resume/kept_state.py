"""The state that a run was started with (``--state``): a retry compares with it and defers to it.

Folders of states are those of another environment, which goes on: what ``state:modified`` or
``result:error`` came to when the run began is known to nobody a moment later. So a copy is kept.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbtorch.adapters.home import expanded
from dbtorch.adapters.run_files import RunFiles
from dbtorch.service.project.dbt_options import values_of, without
from dbtorch.service.project.environment import PREFIXES

log = logging.getLogger(__name__)

#: What dbt reads of a state.
_FILES = ("manifest.json", "run_results.json", "sources.json")

#: Options that name the folder of one, and how they are called in the environment.
_OPTIONS = {"--state": ("STATE", "ARTIFACT_STATE_PATH"), "--defer-state": ("DEFER_STATE",)}


def keep_state(
    words: Sequence[str], environ: Mapping[str, str], base: Path, files: RunFiles
) -> None:
    """Copy what a run that begins is told of states; relative folders count from ``base``.

    dbt itself says what is wrong with a folder that cannot be read.
    """
    for option, named in _named(words, environ):
        try:
            _copy(base / expanded(named), _kept(files, option))
        except OSError as error:  # a retry takes the folder itself
            log.warning("the state in %s is not kept for a retry: %s", named, error)


def with_kept_state(
    words: Sequence[str], environ: Mapping[str, str], files: RunFiles
) -> tuple[str, ...]:
    """The words of a run that goes on, with the states it began with where they are kept."""
    found = tuple(words)
    for option, _ in _named(words, environ):
        folder = _kept(files, option)
        if folder.is_dir():
            found = (*without(found, {option}), option, str(folder.resolve()))
    return found


def selects_by_state(options: Mapping[str, Any]) -> bool:
    """Whether what a run selects may depend on a state, by its recorded options."""
    words = [str(word) for word in options.get("dbt_args", ())]
    return any(option == "--state" for option, _ in _named(words, options.get("environ") or {}))


def _named(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each option that is given, here or in the environment, and its folder."""
    given = values_of(words)
    for option, names in _OPTIONS.items():
        variables = (f"{prefix}{name}" for name in names for prefix in PREFIXES)
        said = [*given.get(option, ())[-1:], *(environ.get(name) for name in variables)]
        if folder := next(filter(None, said), None):
            yield option, folder


def _kept(files: RunFiles, option: str) -> Path:
    return files.root / "private" / option.removeprefix("--")


def _copy(state: Path, kept: Path) -> None:
    there = [state / name for name in _FILES if (state / name).is_file()]
    if not there:
        return
    draft = kept.with_name(f".{kept.name}")
    draft.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in there:
        shutil.copyfile(path, draft / path.name)
    draft.rename(kept)
