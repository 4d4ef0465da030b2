"""Configuration: ``dbtorch.yml`` and ``meta.dbtorch``, every mistake with its file and line."""

from dbtorch.adapters.config.loading import load, step_of
from dbtorch.adapters.config.meta import settings_for, settings_of
from dbtorch.core.errors import ConfigError

__all__ = ["ConfigError", "load", "settings_for", "settings_of", "step_of"]
