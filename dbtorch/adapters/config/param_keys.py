"""Keys of a parameter of a pipeline."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dbtorch.adapters.config.field_types import Listed, section
from dbtorch.adapters.config.problems import Path, Report, shown
from dbtorch.adapters.config.scalars import ANYTHING
from dbtorch.core.errors import Refused
from dbtorch.core.params import ParamSpec


def _param(said: dict[str, Any], at: Path, report: Report) -> ParamSpec:
    spec = ParamSpec(**said)
    for name, value in (("default", spec.default), *(("choices", one) for one in spec.choices)):
        try:
            if value is not None:
                (spec if name == "default" else replace(spec, choices=())).value(value)
        except Refused as error:
            report.wrong((*at, name), f"has {shown(value)}; {error}")
    if spec.required and spec.default is not None:
        report.wrong((*at, "required"), "has no effect beside a default; remove one of them")
    return spec


PARAM = section(
    ParamSpec,
    title="params.<name>",
    short="default",
    build=_param,
    kinds={"default": ANYTHING, "choices": Listed(ANYTHING)},
)
