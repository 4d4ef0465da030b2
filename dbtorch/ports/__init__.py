"""What the use cases need from the outside: one Protocol per need, one module per thing."""

from dbtorch.ports.artifacts import ArtifactMissing, Artifacts, ArtifactsError
from dbtorch.ports.engine import (
    DbtWarningFeed,
    Engine,
    Executor,
    Hook,
    Selected,
    SourceChecks,
    SpeculativeStart,
    Warehouse,
)
from dbtorch.ports.ledger import Ledger, TickLost
from dbtorch.ports.loop import Clock, Emit, Listener
from dbtorch.ports.notifier import NotDelivered, Notifier
from dbtorch.ports.steps import StepContext, Steps
from dbtorch.ports.store import LeaseHeld, LeaseLost, Outbox, Store

__all__ = [
    "ArtifactMissing",
    "Artifacts",
    "ArtifactsError",
    "Clock",
    "DbtWarningFeed",
    "Emit",
    "Engine",
    "Executor",
    "Hook",
    "LeaseHeld",
    "LeaseLost",
    "Ledger",
    "Listener",
    "NotDelivered",
    "Notifier",
    "Outbox",
    "Selected",
    "SourceChecks",
    "SpeculativeStart",
    "StepContext",
    "Steps",
    "Store",
    "TickLost",
    "Warehouse",
]
