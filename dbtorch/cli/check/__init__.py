"""`dbtorch check-idempotent`: run a node twice where it does no harm, and compare what it left."""

from dbtorch.cli.check.check import check_idempotent

__all__ = ["check_idempotent"]
