"""What a run goes on with and the history must not have: secrets, in the run's private folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from dbtorch.adapters.run_files import RunFiles
from dbtorch.core.errors import UsageError
from dbtorch.core.failures.scrub import Scrubber, secrets_of
from dbtorch.core.history.records import OUTPUT_HIDDEN, RunRecord
from dbtorch.core.model.graph import Kind
from dbtorch.service.project.known_secrets import given_vars

log = logging.getLogger(__name__)

#: Among the options of a run: dbt's have stars in them.
_ARGS_HIDDEN = "dbt_args_hidden"
_PIPELINE_ARGS_HIDDEN = "pipeline_args_hidden"

#: The file with the options for dbt.
_DBT_ARGS = "dbt_args"
_PIPELINE_ARGS = "pipeline_args"


def keep_output(files: RunFiles, step: str, output: Any) -> None:
    """Keep an output as it is for a retry. Raises `OSError`."""
    _write(files, _named(step), output)


def restore_outputs(files: RunFiles, earlier: RunRecord, outputs: dict[str, Any]) -> frozenset[str]:
    """Put outputs as they were in the place of those with stars; names of those that are gone.

    What is gone is taken out: stars are never handed on.
    """
    gone = set()
    for node in earlier.nodes:
        hidden = node.kind is Kind.STEP and node.name in outputs and node.attempts
        if hidden and node.attempts[-1].details.get(OUTPUT_HIDDEN):
            try:
                outputs[node.name] = _read(files, _named(node.name))
            except (OSError, ValueError):
                del outputs[node.name]
                gone.add(node.name)
    return frozenset(gone)


def refuse_without(
    gone: Iterable[str], earlier: RunRecord, kinds: Mapping[str, Kind], again: Iterable[str]
) -> None:
    """Raise `UsageError` where a step would run that may need an output that is gone."""
    ids = set(again)
    needed = sorted(name for name in gone if Kind.STEP.id_of(name) not in ids)
    if needed and any(kinds.get(id) is Kind.STEP for id in ids):
        raise UsageError(
            f"the output of step {needed[0]} held a secret, which is not in the history, and the"
            f" folder of run {earlier.run_id} on {earlier.host} that had it is not here: run it"
            f" again with `dbtorch rerun {earlier.run_id} --select step:{needed[0]}`, or start"
            " another run"
        )


def recorded(options: Mapping[str, Any], files: RunFiles, hide: Scrubber) -> dict[str, Any]:
    """Options as the history may have them; dbt's are kept as they are where that differs."""
    options = _with_pipeline_args(options, files, hide)
    shown = hide.json(options["dbt_args"])
    if shown == options["dbt_args"]:
        return dict(options)
    try:
        _write(files, _DBT_ARGS, options["dbt_args"])
    except OSError as error:  # a retry asks for them
        log.warning("the options for dbt are not kept for a retry: %s", error)
    return {**options, "dbt_args": shown, _ARGS_HIDDEN: True}


def as_started(earlier: RunRecord, files: RunFiles, dbt_args: Sequence[str]) -> RunRecord:
    """The record of a run with its options as they were given; ``dbt_args`` are a retry's own.

    Raises `UsageError` where nobody has kept what the history has stars for.
    """
    if earlier.options.get(_PIPELINE_ARGS_HIDDEN):
        earlier = _with_private_pipeline_args(earlier, files)
    if not earlier.options.get(_ARGS_HIDDEN):
        return earlier
    try:
        words = [str(word) for word in _read(files, _DBT_ARGS)]
    except (OSError, ValueError, TypeError):
        words = _given_again(earlier, dbt_args)
    return replace(earlier, options={**earlier.options, "dbt_args": words})


def _with_pipeline_args(
    options: Mapping[str, Any], files: RunFiles, hide: Scrubber
) -> Mapping[str, Any]:
    """The same without secrets in what the pipeline has dbt told; these are kept beside it."""
    said = options.get("pipeline_args", [])
    shown = hide.json(said)
    if shown == said:
        return options
    try:
        _write(files, _PIPELINE_ARGS, said)
    except OSError as error:  # a retry asks for them
        log.warning("the vars of the pipeline are not kept for a retry: %s", error)
    return {**options, "pipeline_args": shown, _PIPELINE_ARGS_HIDDEN: True}


def _with_private_pipeline_args(earlier: RunRecord, files: RunFiles) -> RunRecord:
    try:
        words = [str(word) for word in _read(files, _PIPELINE_ARGS)]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"run {earlier.run_id} was started with secrets in the vars of its pipeline, which are"
            f" not in the history, and its folder on {earlier.host} that had them is not here:"
            " start another run"
        ) from error
    return replace(earlier, options={**earlier.options, "pipeline_args": words})


def _given_again(earlier: RunRecord, dbt_args: Sequence[str]) -> list[str]:
    had = [str(word) for word in earlier.options["dbt_args"]]
    given = [value for option, value in pairwise(dbt_args) if option == "--vars"]
    hide = Scrubber(secrets_of(given_vars(dbt_args)))
    if not given or hide(given[-1]) not in had:
        raise UsageError(
            f"run {earlier.run_id} was started with secret --vars, which are not in the history,"
            f" and its folder on {earlier.host} that had them is not here: give the retry the same"
            " --vars again"
        )
    return [given[-1] if word == hide(given[-1]) else word for word in had]


def _named(step: str) -> str:
    return f"output.{step}"


def _write(files: RunFiles, name: str, value: Any) -> None:
    path = files.private(name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    private = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(private, "w", encoding="utf-8") as out:
        json.dump(value, out)
    draft.replace(path)


def _read(files: RunFiles, name: str) -> Any:
    return json.loads(files.private(name).read_text(encoding="utf-8"))
