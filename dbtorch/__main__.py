"""The command ``dbtorch``, and ``python -m dbtorch``."""

import atexit
import gc
import os
import sys

#: As shells have it: 128 and SIGINT's number.
_INTERRUPTED = 130

#: As `dbtorch.cli.errors` has it, which may be what cannot be imported.
_INTERNAL = 4

#: Seconds that what dbt has left behind has to end.
_GRACE = 2.0


def main() -> None:
    """Run a command, and leave nothing of it behind."""
    gc.set_threshold(200_000)  # looking for garbage every 700 objects costs a short run a tenth
    codes: list[int] = []
    atexit.register(_leave, codes)  # the first that is registered comes last
    try:
        from dbtorch.adapters.processes import subreaper

        subreaper.take_over()
        from dbtorch.cli.main import main

        codes.append(main())
    except KeyboardInterrupt:  # before there was anybody to hear it: nothing has begun
        codes.append(_INTERRUPTED)
    except Exception:  # before there was anybody to explain it
        sys.excepthook(*sys.exc_info())
        codes.append(_INTERNAL)
    finally:
        _end_orphans()
    if _uploads_hang():
        _leave(codes)
    sys.exit(codes[0])


def _uploads_hang() -> bool:
    """Whether an upload that nobody waits for any more hangs in a network.

    Then our own threads are waited for here, and nobody else's: Python would wait for one of
    fsspec's that asks a server of names, which may take minutes.
    """
    uploads = sys.modules.get("dbtorch.app.uploads")
    if uploads is None or not uploads.any_hangs():
        return False
    import threading

    for thread in threading.enumerate():
        if thread.name.startswith("dbtorch-") and not thread.daemon:
            thread.join()
    return True


def _end_orphans() -> None:
    """End what dbt has left behind; who interrupts that will not wait for it."""
    from dbtorch.adapters.processes import subreaper

    try:
        subreaper.end(grace=_GRACE)
    except KeyboardInterrupt:
        subreaper.end(grace=0.0)


def _leave(codes: list[int]) -> None:
    """End here and now: taking everything apart would take Python another ten milliseconds."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # it was closed before we started
                stream.flush()
    except (OSError, ValueError):  # what cannot be flushed Python complains of
        return
    if codes:
        os._exit(codes[0])


if __name__ == "__main__":
    main()
