"""What Python itself prints of an error, without secrets."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

from dbtorch.core.failures.scrub import Scrubber


def hide_in_tracebacks(hide: Scrubber) -> None:
    """Let what Python prints of an error by itself be without secrets as well."""

    def show(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
        import traceback

        from dbtorch.cli.text.terminal import echo

        echo(hide("".join(traceback.format_exception(kind, error, trace)).rstrip()), err=True)

    sys.excepthook = show
    threading.excepthook = lambda args: show(args.exc_type, args.exc_value, args.exc_traceback)
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Hiding(hide))


class _Hiding(logging.Formatter):
    def __init__(self, hide: Scrubber) -> None:
        super().__init__()
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._hide(super().format(record))
