"""JSON Schema of what may be written, made of the kinds that read it: nothing is said twice.

Draft 7, which every editor's language server knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from dbtorch.adapters.config.document import parse
from dbtorch.adapters.config.field_types import (
    Key,
    Later,
    Listed,
    Named,
    Section,
    Several,
    Switch,
    Unread,
)
from dbtorch.adapters.config.scalars import SOMETHING, Kind
from dbtorch.adapters.config.schema import ROOT
from dbtorch.adapters.config.setting_keys import META
from dbtorch.adapters.config.step_keys import STEP, Action, types
from dbtorch.version import VERSION

_DRAFT = "http://json-schema.org/draft-07/schema#"
_LINK = re.compile(r"\[([^]]+)\]\([^)]*\)")

Schema = dict[str, Any]


def schema_text(*, meta: bool) -> str:
    """The schema of ``dbtorch.yml``, or of dbt's YAML files for ``meta.dbtorch`` in them."""
    return json.dumps(meta_schema() if meta else schema(), indent=2, ensure_ascii=False)


def schema() -> Schema:
    """The schema of ``dbtorch.yml``, with the step types and notifiers that are installed."""
    parts = _Parts()
    return _document("dbtorch.yml", parts.of(ROOT), parts)


def meta_schema() -> Schema:
    """The schema of dbt's YAML files, which says something of ``meta.dbtorch`` alone."""
    parts = _Parts()
    meta = {"properties": {"dbtorch": parts.of(META)}}
    resource = {
        "type": ["object", "null"],
        "properties": {
            "meta": meta,
            "config": {"properties": {"meta": meta, "+meta": meta}},
            "tables": {"$ref": "#/definitions/resources"},
        },
    }
    folder = {
        "type": "object",
        "properties": {"meta": meta, "+meta": meta},
        "additionalProperties": {"if": {"type": "object"}, "then": _to("folder")},
    }
    either = {"if": {"type": "array"}, "then": _to("resources"), "else": _to("folders")}
    parts.found |= {
        "resource": resource,
        "resources": {"type": ["array", "null"], "items": _to("resource")},
        "folder": folder,
        "folders": {"if": {"type": "object"}, "then": _to("folder")},
    }
    whole = {"type": ["object", "null"], "properties": dict.fromkeys(_RESOURCES, either)}
    return _document("meta.dbtorch", whole, parts)


#: Keys of dbt's YAML files under which resources are described, or folders of them.
_RESOURCES = (
    "models",
    "seeds",
    "snapshots",
    "sources",
    "exposures",
    "functions",
    "saved_queries",
    "saved-queries",
    "unit_tests",
    "data_tests",
)


def _document(name: str, top: Schema, parts: _Parts) -> Schema:
    return {
        "$schema": _DRAFT,
        "$id": f"urn:dbtorch:{VERSION}:{name}",
        "title": f"{name} of dbtorch {VERSION}",
        **top,
        "definitions": dict(sorted(parts.found.items())),
    }


def _to(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


class _Parts:
    """Schemas of kinds; each section is a definition, by its title."""

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def of(self, kind: Kind) -> Schema:
        """The schema of a kind."""
        match kind:
            case Section():
                return self._section(kind)
            case Named():
                return self._named(kind)
            case Several():
                one = self.of(kind.of)
                return _any(one, {"type": "array", "items": one})
            case Listed():
                return {"type": ["array", "null"], "items": self.of(kind.of)}
            case Switch():
                return _any({"enum": [False, True] if kind.on else [False]}, self.of(kind.of))
            case Unread():
                return {"allOf": [SOMETHING, self.of(kind.of)]}
            case Action():
                return self.of(kind.of)
            case Later():
                return self.of(kind.find())
        shape: Mapping[str, Any] = getattr(kind, "shape")  # noqa: B009  # all others are scalars
        return dict(shape)

    def _named(self, kind: Named) -> Schema:
        names: Schema = {"pattern": f"^(?:{kind.pattern})$"}
        if kind.reserved:
            names["not"] = {"enum": [*kind.reserved]}
        return {
            "type": ["object", "null"],
            "propertyNames": names,
            "additionalProperties": self.of(kind.of),
        }

    def _section(self, section: Section) -> Schema:
        name = "-".join(re.findall(r"[\w.]+", section.title))
        if name not in self.found:
            self.found[name] = {}  # it may hold itself
            self.found[name] = self._mapping(section)
        if not section.short:
            return _to(name)
        short = next(self.of(key.kind) for key in section.keys if key.name == section.short)
        return {"if": {"type": ["object", "null"]}, "then": _to(name), "else": short}

    def _mapping(self, section: Section) -> Schema:
        keys = {key.name: key for key in (*section.more(), *section.keys)}
        shape = dict(section.shape)
        if section is STEP:
            shape["oneOf"] = [{"required": [key.name]} for key in types()]
        needed = section.required or shape.keys() & {"anyOf", "oneOf", "required", "minProperties"}
        required = {"required": [*section.required]} if section.required else {}
        return {
            "type": "object" if needed else ["object", "null"],
            **required,
            **shape,
            "properties": {name: self._key(key) for name, key in keys.items()},
            "additionalProperties": False,
        }

    def _key(self, key: Key) -> Schema:
        said = f"{key.doc} Default: {key.default}." if key.default else key.doc
        found = {**self.of(key.kind), "description": _LINK.sub(r"\1", said)}
        if key.example:
            found["examples"] = [parse(f"it: {key.example}", "").data["it"]]
        return found


def _any(*of: Schema) -> Schema:
    return {"anyOf": [*of]}
