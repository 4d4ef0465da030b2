"""In-memory doubles of ports, for dbtorch's own tests and for yours."""

from dbtorch.testing.artifacts import MemoryArtifacts
from dbtorch.testing.doubles import (
    SUCCEEDS,
    FixedClock,
    MemoryEngine,
    MemorySteps,
    Script,
    fails,
    scripted,
)
from dbtorch.testing.queue import MemoryQueue

__all__ = [
    "SUCCEEDS",
    "FixedClock",
    "MemoryArtifacts",
    "MemoryEngine",
    "MemoryQueue",
    "MemorySteps",
    "Script",
    "fails",
    "scripted",
]
