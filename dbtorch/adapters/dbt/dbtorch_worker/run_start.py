"""When the run began: for dbt that is when its invocation did, and a run has many of them.

A retry builds the batches of the first attempt's window, as `dbt retry` does, also where the model
was never begun. Standard library only until dbt is there.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

#: Dbt 2 knows it, too (`dbtorch.adapters.run_files`).
STARTED = "DBT_RUN_STARTED_AT"

#: Where windows end, if not there (`dbtorch.adapters.run_files`).
WINDOW_END = "DBTORCH_DATA_INTERVAL_END"


def keep_the_beginning() -> None:
    """Let ``run_started_at``, microbatch windows and samples be those of the run."""
    found = beginning()
    if found is None:
        return
    began: datetime = found

    class Then(datetime):
        """Where a sample of the last days ends."""

        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return began.astimezone(tz)

    from dbt.tracking import User

    _after(User, "run_started_at", began)
    from dbt.materializations.incremental.microbatch import MicrobatchBuilder  # 1.9 or later

    _after(MicrobatchBuilder, "default_end_time", _moment(WINDOW_END) or began)
    from dbt.event_time import sample_window  # 1.10 or later

    made = sample_window.SampleWindow.from_relative_string
    now = sample_window.datetime

    def from_relative_string(text: str) -> Any:
        # Not for longer: the class is written into run_results.json by the types of its fields.
        sample_window.datetime = Then
        try:
            return made(text)
        finally:
            sample_window.datetime = now

    sample_window.SampleWindow.from_relative_string = staticmethod(from_relative_string)


def beginning() -> datetime | None:
    """What the environment says; None where it says nothing, or no time."""
    return _moment(STARTED)


def _moment(variable: str) -> datetime | None:
    from dbt.tracking import pytz

    try:
        at = datetime.fromisoformat(os.environ[variable])
    except (KeyError, ValueError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).astimezone(pytz.utc)


def _after(owner: Any, name: str, value: datetime) -> None:
    """Let each new object of a class of dbt's have this value."""
    make = owner.__init__

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        setattr(self, name, value)

    owner.__init__ = made
