"""Which relations are not in the warehouse any more that nodes have built."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from .closing import close_database_file


def gone(task: Any, uids: list[str]) -> list[str]:
    """The nodes among these whose relations are not there; one look into each schema.

    Before the session connects, so it leaves neither a connection nor anything in dbt's cache.
    """
    from dbt.adapters.factory import get_adapter

    adapter = get_adapter(task.config)
    schemas: defaultdict[Any, list[tuple[str, str]]] = defaultdict(list)
    for uid in uids:
        node = task.manifest.expect(uid)
        relation = adapter.Relation.create_from(task.config, node)
        schemas[relation.without_identifier()].append((uid, relation.identifier.lower()))
    found = []
    with adapter.connection_named("dbtorch-question"):
        for schema, built in schemas.items():
            there = adapter.list_relations_without_caching(schema)
            names = {str(relation.identifier).lower() for relation in there}
            found += [uid for uid, name in built if name not in names]
    adapter.cleanup_connections()
    close_database_file(adapter)
    return found
