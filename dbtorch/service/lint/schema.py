"""JSON Schema for editors."""

from __future__ import annotations

import json


def schema_text(*, meta: bool) -> str:
    """The schema of ``dbtorch.yml``, or of dbt's YAML files for ``meta.dbtorch`` in them."""
    from dbtorch.adapters.config.json_schema import meta_schema, schema

    return json.dumps(meta_schema() if meta else schema(), indent=2, ensure_ascii=False)
