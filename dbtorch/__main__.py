"""The command ``dbtorch``, and ``python -m dbtorch``."""

import atexit
import gc
import os
import sys

#: As shells have it: 128 and SIGINT's number.
_INTERRUPTED = 130


def main() -> None:
    """Start a run's dbt, if it can be, and then import everything else."""
    gc.set_threshold(200_000)  # looking for garbage every 700 objects costs a short run a tenth
    codes: list[int] = []
    atexit.register(_leave, codes)  # the first that is registered comes last
    early = None
    try:
        if sys.argv[1:2] == ["run"]:
            from dbtorch.adapters.dbt.process.early import Early
            from dbtorch.adapters.turns import stand_back

            try:
                early = Early(sys.argv[1:])
                early.start()
                stand_back()
            except OSError:  # who needs the current folder says so
                pass
        from dbtorch.cli.main import main

        codes.append(main(early=early))
    except KeyboardInterrupt:  # before there was anybody to hear it: nothing has begun
        codes.append(_INTERRUPTED)
    finally:
        if early is not None:
            early.close()
    sys.exit(codes[0])


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
