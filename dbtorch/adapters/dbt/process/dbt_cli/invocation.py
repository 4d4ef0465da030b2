"""What artifacts of a run say of how dbt was called: as somebody would have, in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbtorch.adapters.dbt.dbtorch_worker.typed_args import typed
from dbtorch.adapters.dbt.process.dbt_cli.args import DbtArgs

#: Options that choose, in dbt's artifacts; what is None there is left out.
_CHOSEN: Mapping[str, tuple[str, Any]] = {
    "select": ("--select", ()),
    "exclude": ("--exclude", ()),
    "resource_types": ("--resource-type", ()),
    "exclude_resource_types": ("--exclude-resource-type", ()),
    "selector": ("--selector", None),
    "state": ("--state", None),
    "defer_state": ("--defer-state", None),
    "indirect_selection": ("--indirect-selection", "eager"),
}

#: Options of ours, and what dbt has where nobody says anything.
_OURS: Mapping[str, Any] = {
    "log_level": "info",
    "log_level_file": "debug",
    "log_format": "default",
    "use_colors": True,
    "use_colors_file": True,
}

_FLAGS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(slots=True)
class Invocation:
    """How dbt was called for a run, by what it wrote of its builds."""

    asked: Sequence[str]  # options of `dbt build`, as somebody typed them
    environ: Mapping[str, str]
    flags: Mapping[str, Any] = field(default_factory=dict)  # of dbt_project.yml
    metadata: Mapping[str, Any] = field(default_factory=dict)  # of the first build
    args: Mapping[str, Any] = field(default_factory=dict)

    def saw(self, metadata: Mapping[str, Any], args: Mapping[str, Any]) -> None:
        """A dbt wrote this of itself. The first build counts; others have fewer options."""
        if not self.args or (self.args.get("which") != "build" and args.get("which") == "build"):
            self.metadata, self.args = metadata, args

    def told(self) -> dict[str, Any]:
        """The ``args`` of an artifact of the whole run."""
        if not self.args:
            return {"which": "build", "invocation_command": typed(self.asked)}
        given = DbtArgs.of(self.asked)
        found = dict(self.args)
        for name, (option, otherwise) in _CHOSEN.items():
            several = otherwise == ()
            values = [words[1] for words in given.options if words[0] == option]
            value = values if several else (values[-1] if values else self._said(name, otherwise))
            if value is None:
                found.pop(name, None)
            elif name in self.args or values:
                found[name] = value
        for name, otherwise in _OURS.items():
            if name in found and f"--{name.replace('_', '-')}" not in self.asked:
                found[name] = self._said(name, otherwise)
        return {**found, "which": "build", "invocation_command": typed(self.asked)}

    def _said(self, name: str, otherwise: Any) -> Any:
        """What the environment, or the project, says where the command line does not."""
        by_variable = self.environ.get(f"DBT_{name.upper()}")
        if by_variable:
            return _FLAGS.get(by_variable.lower(), by_variable)
        found = self.flags.get(name)
        return otherwise if found is None else found
