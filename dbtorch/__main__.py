"""The command ``dbtorch``, and ``python -m dbtorch``."""

import contextlib
import gc
import sys


def main() -> None:
    """Start a run's dbt, if it can be, and then import everything else."""
    gc.set_threshold(50_000)  # looking for garbage every 700 objects costs a short run a tenth
    early = None
    if sys.argv[1:2] == ["run"]:
        from dbtorch.adapters.dbt.process.early import Early

        with contextlib.suppress(OSError):  # who needs the current folder says so
            early = Early(sys.argv[1:])
            early.start()
    try:
        from dbtorch.cli.main import main

        main(early=early)
    finally:
        if early is not None:
            early.close()
        gc.freeze()  # or Python would look through everything once more before it ends


if __name__ == "__main__":
    main()
