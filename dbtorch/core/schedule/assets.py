"""What is built, as conditions name it: ``model:orders``, ``step:ingest``, or the id of a node."""

from __future__ import annotations

from dbtorch.core.errors import Refused
from dbtorch.core.model.graph import Kind

#: Kinds whose success is an update.
KINDS = (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT, Kind.STEP)


def check_asset(text: str) -> None:
    """Raise `Refused` for what names none."""
    kind, colon, name = text.partition(":")
    if colon and kind in KINDS and name:
        return
    if not colon and text.partition(".")[0] in KINDS and text.count("."):
        return
    raise Refused(
        f'is "{text}"; expected such as model:orders, step:ingest, or the id of a node'
        " (model.shop.orders)"
    )


def node_id(text: str, project: str) -> str:
    """The id of the node; ``project`` is dbt's name of the project that has it."""
    kind, colon, name = text.partition(":")
    if not colon:
        return text
    return Kind.STEP.id_of(name) if kind == Kind.STEP else f"{kind}.{project}.{name}"
