"""How long a run for a pull request takes by what its nodes took in production."""

from __future__ import annotations

import json
from collections.abc import Mapping

from dbtorch.core.errors import UsageError
from dbtorch.core.production import RESULTS
from dbtorch.core.text.durations import text as duration
from dbtorch.core.text.phrases import calm
from dbtorch.service.ci.session import CiSession
from dbtorch.service.ci.state import States
from dbtorch.service.tell import Tell


def refuse_long(most: float | None, session: CiSession, states: States | None, say: Tell) -> None:
    """Raise `UsageError` where the run would take longer than ``most`` seconds."""
    if most is None:
        return
    usual = usual_seconds(states)
    if not usual.keys() & session.selected.selected:
        say("nobody knows how long it takes, so --max-duration refuses nothing")
    expected = session.expected_seconds(usual)
    if expected > most:
        raise UsageError(
            f"the run would take about {calm(expected)} by what production took, which is more"
            f" than --max-duration {duration(most)}: nothing was built; select less, give it"
            " more threads or a longer --max-duration"
        )


def usual_seconds(states: States | None) -> Mapping[str, float]:
    """Seconds that nodes took in production, as far as its state says."""
    if states is None:
        return {}
    try:
        said = json.loads((states.latest.folder / RESULTS).read_bytes())
        return {one["unique_id"]: float(one["execution_time"]) for one in said["results"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
