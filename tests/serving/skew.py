"""Sets the clock of this machine wrong for one process of a test, wherever dbtorch asks for it."""

import datetime as dt
import importlib
import pkgutil
import sys
import time

import dbtorch.schedule
import dbtorch.service.schedule
from dbtorch.adapters import clock


def skew(seconds):
    """What this process takes for the time is so many seconds after what it is."""
    for package in (dbtorch.schedule, dbtorch.service.schedule):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    delta, real, right = dt.timedelta(seconds=seconds), dt.datetime, time.time

    class Any(type(real)):
        def __instancecheck__(cls, one):
            return isinstance(one, real)

    class Skewed(real, metaclass=Any):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + delta

    time.time = lambda: right() + seconds
    clock._CALENDAR += delta
    for name, module in list(sys.modules.items()):
        if name.startswith("dbtorch.") and getattr(module, "datetime", None) is real:
            module.datetime = Skewed
