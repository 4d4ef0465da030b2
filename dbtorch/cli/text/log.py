"""The log of an attempt, as text and JSON."""

from __future__ import annotations

from collections.abc import Iterator

from dbtorch.cli.text.terminal import document, to_json
from dbtorch.core.text.phrases import took
from dbtorch.service.history.logs import AttemptLog, missing
from dbtorch.service.history.run_json import attempt_json


def log_text(log: AttemptLog) -> Iterator[str]:
    """A heading and the log, piece by piece; what the history remembers where there is none."""
    tried = f"attempt {log.attempt.number} of {log.node.attempts[-1].number}"
    state, seconds = log.attempt.state, took(log.attempt.seconds)
    yield f"# {log.node.id}, {tried}, {state}, {seconds}, {log.url or log.path}"
    if log.attempt.output is not None:
        yield f"# output {to_json(log.attempt.output)}"
    empty = True
    for piece in log.pieces():
        empty = False
        yield piece
    if empty:
        yield from _instead(log)


def _instead(log: AttemptLog) -> Iterator[str]:
    why = "the log is empty" if log.path.exists() else missing(log)
    hint = f"; dbt's own output is in {log.dbt_log}" if log.dbt_log is not None else ""
    yield f"# {why}{hint}"
    if log.attempt.message:
        yield log.attempt.message


def log_json(log: AttemptLog) -> str:
    """For programs: at most the last 10 MB of the log."""
    text, left_out = log.end()
    return document(
        run_id=log.run.run_id,
        node_id=log.node.id,
        path=str(log.path),
        url=log.url,
        exists=log.path.exists(),
        log=text,
        log_bytes_left_out=left_out,
        attempt=attempt_json(log.attempt),
    )
