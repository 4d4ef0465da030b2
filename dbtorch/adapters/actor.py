"""Who is at the keyboard, for the history."""

from __future__ import annotations

from dbtorch.adapters.processes.liveness import this_host


def actor() -> str:
    """``user@host`` of this process; the user's number where it has no name."""
    import getpass  # few commands ask
    import os

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container runs as any number it likes
        user = str(os.getuid())
    return f"{user}@{this_host()}"
