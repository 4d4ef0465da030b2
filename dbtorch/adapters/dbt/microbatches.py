"""Batches of microbatch models: what a run has planned of each, and what of that is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dbtorch.core.model.events import NOTHING_EXECUTED, Outcome, Window
from dbtorch.core.model.state import FailureClass, State


class Microbatches:
    """What is known of them; not safe from several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, dict[Window, bool]] = {}

    def adopt(self, known: Mapping[str, Mapping[Window, bool]]) -> None:
        """Take over what an earlier execution of the same run knew, by the ids of models."""
        self._known = {id: dict(windows) for id, windows in known.items()}

    def planned(self, id: str, windows: Iterable[Window]) -> None:
        """These are about to be built."""
        self._known.setdefault(id, {}).update(dict.fromkeys(windows, False))

    def built(self, id: str, window: Window) -> bool:
        """One of them is in the warehouse; answers whether it was planned at all."""
        planned = self._known.get(id, {})
        if window in planned:
            planned[window] = True
        return window in planned

    def of(self, id: str, *, built: bool) -> list[Window]:
        """Those that are built, or those of which nobody knows that they are; in order."""
        known = self._known.get(id, {})
        return sorted(window for window in known if known[window] is built)

    def __contains__(self, id: str) -> bool:
        """Whether any were planned of a model."""
        return bool(self._known.get(id))


#: What comes after such a model, in the same batch.
LEFT_OUT = Outcome(
    state=State.UPSTREAM_FAILED,
    message="left out with what it depends on",
    details={"status": "skipped"},
)


def not_again(name: str, before: str = "") -> Outcome:
    """What becomes of an attempt at a model of which nobody knows what is left to be built.

    ``before`` is what the last attempt said that was made.
    """
    why = (
        f"not tried again: dbt would build only the newest batches of {name}, not all that"
        f" failed; build them with `dbtorch run --select {name}+ --event-time-start ..."
        " --event-time-end ...`"
    )
    return Outcome(
        state=State.FAILED,
        message=f"{why}; the attempt before: {before}" if before else why,
        failure_class=FailureClass.CODE,
        details={"status": "error", NOTHING_EXECUTED: True},
    )
