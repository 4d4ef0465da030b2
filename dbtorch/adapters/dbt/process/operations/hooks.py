"""On-run hooks as macros, which `dbt run-operation` runs once: at the start, and at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dbtorch.adapters.dbt.process.dbt_cli.event_lines import Lines, LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.executable import Executable, how, uncoded
from dbtorch.adapters.dbt.process.dbt_cli.line_batches import lines_of
from dbtorch.adapters.dbt.process.dbt_cli.values import ON_RUN_END, ON_RUN_START
from dbtorch.adapters.dbt.session.answers import hook_outcome
from dbtorch.core.failures.classify import classify
from dbtorch.core.failures.evidence import Rule
from dbtorch.core.model.events import Outcome
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import FailureClass, State

_BEGINS, _ENDS = "dbtorch: hook begins: ", "dbtorch: hook ends: "


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCode:
    """A hook, and its text as it was written."""

    id: str
    package: str
    side: str  # on-run-start or on-run-end
    place: int  # among those of its package and side
    text: str

    @property
    def name(self) -> str:
        """What dbt calls it."""
        return f"{self.package}.{self.side}.{self.place}"

    @property
    def macro(self) -> str:
        """Name of the macro that it has become."""
        return f"dbtorch_{self.side.replace('-', '_')}_{self.place}"


def read_hooks(manifest: Mapping[str, Any], project: str) -> tuple[HookCode, ...]:
    """Hooks in the order dbt runs them: packages by name, the project itself last."""
    found = []
    for id, node in (manifest.get("nodes") or {}).items():
        if Kind.of(id) is not Kind.OPERATION:
            continue
        package, rest = str(node.get("package_name")), id.split(".", 2)[2]
        side = ON_RUN_START if f"-{ON_RUN_START}-" in rest else ON_RUN_END
        found.append(
            HookCode(
                id=id,
                package=package,
                side=side,
                place=int(rest.rpartition("-")[2]),
                text=str(node.get("raw_code") or ""),
            )
        )
    return tuple(sorted(found, key=lambda one: (one.package == project, one.package, one.place)))


class HookContext:
    """What hooks know besides what every macro does."""

    def __init__(self, manifest: Mapping[str, Any], selected: frozenset[str]) -> None:
        sections = ("nodes", "unit_tests", "exposures", "saved_queries", "functions")
        self._nodes = {id: n for name in sections for id, n in (manifest.get(name) or {}).items()}
        built = [self._nodes[id] for id in sorted(selected) if id in self._nodes]
        places = {(node.get("database"), node.get("schema")) for node in built if _is_kept(node)}
        self._places = sorted(places, key=str)

    def told(self, results: Mapping[str, Mapping[str, Any]]) -> str:
        """As JSON: ``results`` of the run so far with their nodes, and the schemas it builds in."""
        known = [
            {**result, "node": {k: v for k, v in self._nodes[id].items() if k not in _LONG}}
            for id, result in results.items()
            if id in self._nodes
        ]
        return json.dumps(
            {
                "results": known,
                "schemas": sorted({str(schema) for _, schema in self._places}),
                "database_schemas": self._places,
            }
        )


#: Parts of a node that take much room, and that hooks do not ask for.
_LONG = ("raw_code", "compiled_code", "columns", "docs", "unrendered_config")


def _is_kept(node: Mapping[str, Any]) -> bool:
    """Whether something is left of a node in the warehouse."""
    kinds = ("model", "seed", "snapshot")
    config = node.get("config") or {}
    return node.get("resource_type") in kinds and config.get("materialized") != "ephemeral"


def macro_of(hook: HookCode) -> str:
    """The macro of a hook: renders its text, and executes what that comes to."""
    return (
        f"{{% macro {hook.macro}(results, schemas, database_schemas) %}}"
        f"{{% set dbtorch_sql %}}{hook.text}{{% endset %}}"
        "{% if dbtorch_sql | trim %}"
        "{% call statement('dbtorch_hook', fetch_result=False, auto_begin=False) %}"
        "{{ dbtorch_sql }}{% endcall %}{% endif %}{% endmacro %}"
    )


def calls_of(hooks: Iterable[HookCode], context: str) -> str:
    """The macros that call the hooks of each side; ``context`` is JSON of what they know."""
    hooks = tuple(hooks)
    return "\n".join(_calls(side, hooks, context) for side in (ON_RUN_START, ON_RUN_END))


def _calls(side: str, hooks: Sequence[HookCode], context: str) -> str:
    lines = [
        f"{{% macro dbtorch_{side.replace('-', '_')}() %}}",
        f"{{% set known = fromjson({json.dumps(context)}) %}}",
    ]
    for hook in hooks:
        if hook.side == side:
            lines += [
                f"{{% do log({json.dumps(_BEGINS + hook.id)}, info=true) %}}",
                f"{{% do {hook.package}.{hook.macro}"
                "(known['results'], known['schemas'], known['database_schemas']) %}",
                f"{{% do log({json.dumps(_ENDS + hook.id)}, info=true) %}}",
            ]
    return "\n".join([*lines, "{% endmacro %}"])


def run_hooks(
    side: str,
    hooks: Sequence[HookCode],
    executable: Executable,
    words: Sequence[str],
    *,
    rules: Sequence[Rule],
    began: Callable[[HookCode], None],
    ended: Callable[[HookCode, Outcome], None],
) -> Outcome:
    """Run the hooks of a side and tell of each; what the whole came to.

    A hook that fails leaves out those after it, and is no failure of the whole. That fails when
    dbt does before any of them begins.
    """
    mine = {hook.id: hook for hook in hooks if hook.side == side}
    reader, errors = Lines(executable.hide), list[str]()
    process = executable.start(("run-operation", f"dbtorch_{side.replace('-', '_')}", *words))
    under_way, done = "", set[str]()
    with executable.following(process) as followed:
        for line in lines_of(process):
            said = reader.read(line)
            if not isinstance(said, LogMessage):
                continue
            if said.text.startswith(_BEGINS):
                under_way = said.text.removeprefix(_BEGINS)
                began(mine[under_way])
            elif said.text.startswith(_ENDS):
                done.add(under_way)
                ended(mine[under_way], _came_to(mine[under_way], "success", "passed"))
                under_way = ""
            elif said.level == "error":
                errors.append(uncoded(said.text))
    code = followed.code
    why = "\n".join(dict.fromkeys(errors)) or how(code)
    if under_way:
        failed = _came_to(mine[under_way], "error", f"failed, error:\n {why}", rules)
        ended(mine[under_way], failed)
        for hook in (hook for id, hook in mine.items() if id not in {*done, under_way}):
            skipped = Outcome(state=State.UPSTREAM_FAILED, message=f"{hook.name} skipped")
            ended(hook, skipped)
        return Outcome(state=State.WARN, message=failed.message)
    if code != 0 or done != mine.keys():
        found = FailureClass.TRANSIENT
        if code >= 0 and errors:
            found = classify((), why, rules)
        return Outcome(state=State.FAILED, message=why, failure_class=found)
    return Outcome(state=State.SUCCESS)


def _came_to(hook: HookCode, status: str, what: str, rules: Sequence[Rule] = ()) -> Outcome:
    return hook_outcome({"status": status, "message": f"{hook.name} {what}"}, rules)
