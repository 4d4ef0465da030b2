"""``python -m dbtorch``."""

from dbtorch.cli.main import main

main()
