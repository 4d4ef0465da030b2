"""In-memory doubles of every port, for dbtorch's own tests and for yours."""

from dbtorch.testing.doubles import (
    SUCCEEDS,
    FixedClock,
    MemoryEngine,
    MemorySteps,
    Script,
    fails,
    scripted,
)

__all__ = [
    "SUCCEEDS",
    "FixedClock",
    "MemoryEngine",
    "MemorySteps",
    "Script",
    "fails",
    "scripted",
]
