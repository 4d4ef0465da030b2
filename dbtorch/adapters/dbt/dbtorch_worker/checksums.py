"""One checksum for each node: what decides whether the code it was executed with has changed.

It covers what dbt's ``state:modified`` compares (body, configuration, relation, contract, persisted
descriptions, and all macros it calls, however deep), and what else reaches the SQL of a node: the
relations it reads, ephemeral models, the project's vars where it asks for one, and, for unit tests,
their model. It leaves out what builds nothing: tags, group, docs, and ``meta.dbtorch``.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

#: Configuration that dbt does not compare either, because nothing is built from it.
_IDLE = frozenset({"tags", "group", "docs", "access", "enabled", "alias", "schema", "database"})

#: What else some resources are: saved queries and functions.
_PARTS = ("query_params", "exports", "arguments", "returns")

_ASKS_FOR_VARS = re.compile(r"\bvar\s*\(")


def checksums(manifest: Any, project_vars: Any) -> dict[str, str]:
    """Node -> checksum, of everything that a run may execute; the same for the same code."""
    return _Checksums(manifest, project_vars).all()


class _Checksums:
    def __init__(self, manifest: Any, project_vars: Any) -> None:
        self._manifest = manifest
        self._vars = digest(project_vars)
        self._nodes: dict[str, Any] = {}
        for name in ("nodes", "exposures", "unit_tests", "saved_queries", "functions"):
            self._nodes.update(getattr(manifest, name, None) or {})
        self._macro_digests = {id: digest(m.macro_sql) for id, m in manifest.macros.items()}
        self._closures: dict[str, frozenset[str]] = {}
        self._known: dict[str, str] = {}

    def all(self) -> dict[str, str]:
        return {id: self.of(id) for id in self._nodes}

    def of(self, id: str) -> str:
        """Checksum of one node; each is made once."""
        if id not in self._known:
            self._known[id] = ""  # ends a cycle, which dbt refuses later
            self._known[id] = self._made(self._nodes[id])
        return self._known[id]

    def _made(self, node: Any) -> str:
        macros = self._macros(node)
        code = str(getattr(node, "raw_code", "") or "")
        reads = [self._parent(id) for id in sorted(getattr(node.depends_on, "nodes", ()))]
        kind = str(getattr(node.resource_type, "value", node.resource_type))
        return digest(
            [
                code,
                _content(node, kind),
                _configured(node),
                _described(node),
                _test(node),
                getattr(node, "relation_name", None),
                str(getattr(getattr(node, "contract", None), "checksum", "")),
                [[id, self._macro_digests[id]] for id in macros],
                reads,
                self._unit_tested(node) if kind == "unit_test" else [],
                [str(getattr(node, name, "")) for name in _PARTS],
                self._vars if self._asks_for_vars(code, macros) else "",
            ]
        )

    def _parent(self, id: str) -> list[str]:
        """What a node takes from a parent: its name, and its code where that becomes its own."""
        node = self._nodes.get(id) or self._manifest.sources.get(id)
        ephemeral = getattr(getattr(node, "config", None), "materialized", "") == "ephemeral"
        relation = str(getattr(node, "relation_name", "") or "")
        return [id, relation, self.of(id) if ephemeral and id in self._nodes else ""]

    def _unit_tested(self, node: Any) -> list[str]:
        """A unit test is about its model's code."""
        return [self.of(id) for id in sorted(node.depends_on.nodes) if id in self._nodes]

    def _macros(self, node: Any) -> list[str]:
        """Every macro a node calls, and those they call; dbt lists what it finds by parsing."""
        called: set[str] = set()
        for id in getattr(node.depends_on, "macros", ()):
            called |= self._closure(id)
        return sorted(called)

    def _closure(self, id: str) -> frozenset[str]:
        if id not in self._closures:
            found: set[str] = set()
            stack = [id]
            while stack:
                current = stack.pop()
                if current in found or current not in self._macro_digests:
                    continue
                found.add(current)
                stack += self._manifest.macros[current].depends_on.macros
            self._closures[id] = frozenset(found)
        return self._closures[id]

    def _asks_for_vars(self, code: str, macros: list[str]) -> bool:
        texts = [code, *(self._manifest.macros[id].macro_sql for id in macros if _is_own(id))]
        return any(_ASKS_FOR_VARS.search(text) for text in texts)


def digest(value: Any) -> str:
    """A short hash of any value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _is_own(macro_id: str) -> bool:
    """Whether a macro is no part of dbt itself, whose macros ask for no var of the project."""
    return not macro_id.startswith("macro.dbt.")


def _content(node: Any, kind: str) -> str:
    """What a node is beside its code: a seed's rows, a unit test's cases."""
    found = getattr(node, "checksum", None)
    if kind == "unit_test":
        return str(found or "")
    if kind != "seed":
        return ""  # the code says it all; one file may hold several nodes
    if str(getattr(found, "name", "")) != "path":
        return str(getattr(found, "checksum", ""))
    try:  # dbt hashes no more than the path of a seed of more than a megabyte
        content = Path(node.root_path, node.original_file_path).read_bytes()
    except (OSError, AttributeError):
        return str(getattr(found, "checksum", ""))
    return hashlib.sha256(content).hexdigest()


def _configured(node: Any) -> Any:
    """The configuration as it is written, as dbt compares it."""
    written = getattr(node, "unrendered_config", None) or {}
    config = {key: value for key, value in written.items() if key not in _IDLE}
    meta = config.get("meta")
    if isinstance(meta, dict):
        config["meta"] = {key: value for key, value in meta.items() if key != "dbtorch"}
        if not config["meta"]:
            del config["meta"]
    return config


def _described(node: Any) -> Any:
    """Descriptions that are written into the warehouse, and columns that are enforced there."""
    config = getattr(node, "config", None)
    persist = getattr(config, "persist_docs", None) or {}
    columns = getattr(node, "columns", None) or {}
    enforced = bool(getattr(getattr(config, "contract", None), "enforced", False))
    constraints = getattr(node, "constraints", None) or [] if enforced else []
    return [
        node.description if persist.get("relation") else "",
        {name: column.description for name, column in columns.items()}
        if persist.get("columns")
        else {},
        {
            name: [column.data_type, [str(one) for one in column.constraints]]
            for name, column in columns.items()
        }
        if enforced
        else {},
        [str(one) for one in constraints],
    ]


def _test(node: Any) -> Any:
    """What a generic test is about; its code is the same for every column."""
    metadata = getattr(node, "test_metadata", None)
    if metadata is None:
        return None
    return [metadata.namespace, metadata.name, metadata.kwargs, getattr(node, "column_name", None)]
