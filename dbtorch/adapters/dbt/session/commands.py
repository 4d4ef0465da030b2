"""What a session's protocol wants done, as values; the engine around it does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias

from dbtorch.core.model.dbt_warnings import DbtWarning
from dbtorch.core.model.events import (
    Attempt,
    Finished,
    MicrobatchBuilt,
    Started,
    Window,
)
from dbtorch.core.model.state import FailureClass


class Wait(Enum):
    """What the engine's owner may wait for; each is answered by a `Reply`, whatever happens."""

    OPEN = auto()  # what dbt selects
    ANSWER = auto()  # what there is in the warehouse
    RELEASE = auto()  # that no file of the warehouse is open


@dataclass(frozen=True, slots=True)
class Launch:
    """Start a worker process: the first one, or one in the place of another."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the worker a message."""

    type: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    logs: Attempt | None = None  # whose log the message names as well


@dataclass(frozen=True, slots=True)
class Emit:
    """Report to the run."""

    event: Started | Finished | MicrobatchBuilt


@dataclass(frozen=True, slots=True)
class EmitPlanned:
    """Report what an attempt is about to build, which it does once `kept` is told."""

    attempt: Attempt
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """Let the owner go on who waits for this."""

    wait: Wait
    found: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None  # one sentence, to be raised
    failure_class: FailureClass = FailureClass.CODE


@dataclass(frozen=True, slots=True)
class Arm:
    """Tell in so many seconds that an attempt has had its time."""

    seconds: float
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Kill:
    """End the worker at once; its death is told as any other."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Ask the worker, if there is one, to go; kill it when it has not in so many seconds."""

    patience: float


@dataclass(frozen=True, slots=True)
class WriteLog:
    """Write the log of an attempt that the worker has written none of."""

    attempt: Attempt
    text: str


@dataclass(frozen=True, slots=True)
class Warn:
    """Pass a warning on: the worker's own sentence, or one of dbt's."""

    warning: str | DbtWarning


Command: TypeAlias = (
    Launch | Send | Emit | EmitPlanned | Reply | Arm | Kill | Leave | WriteLog | Warn
)
