"""`dbtorch runs`, `show` and `logs`: they read the history, and start at once."""

from dbtorch.cli.history.attempt_log import logs
from dbtorch.cli.history.listing import runs
from dbtorch.cli.history.lookup import resolve_run
from dbtorch.cli.history.one_run import show

__all__ = ["logs", "resolve_run", "runs", "show"]
