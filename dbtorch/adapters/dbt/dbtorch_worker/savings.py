"""Work that dbt does for every node and nobody reads. Each saving leaves what is read as it is."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any


def build_messages_late() -> None:
    """Let an event build its protobuf message when somebody reads it, and not before."""
    from dbt_common.events.base_types import BaseEvent

    build = BaseEvent.__init__

    def keep(event: Any, *args: Any, **kwargs: Any) -> None:
        object.__setattr__(event, "_given", (args, kwargs))

    def read(event: Any, key: str) -> Any:
        args, kwargs = object.__getattribute__(event, "_given")
        if key == "pb_msg":
            build(event, *args, **kwargs)
            return object.__getattribute__(event, "pb_msg")
        if "pb_msg" not in event.__dict__ and type(value := kwargs.get(key)) is str:
            return value  # a text is the same in the message
        return getattr(event.pb_msg, key)

    BaseEvent.__init__ = keep
    BaseEvent.__getattr__ = read


def make_macros_quickly() -> None:
    """Make the objects that stand for macros in one go, and find them without detours.

    dbt makes one for each macro of the project and its packages, some 500, several times a node,
    and calls a few of them.
    """
    from dbt.clients.jinja import MacroGenerator
    from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder

    original = MacroGenerator(None, None, None, None)
    if set(vars(original)) != {"context", "macro", "node", "stack"}:
        return  # this dbt keeps something else there: leave it alone

    def init(
        self: Any, macro: Any, context: Any = None, node: Any = None, stack: Any = None
    ) -> None:
        self.macro = macro
        self.context = context
        self.node = node
        self.stack = stack

    MacroGenerator.__init__ = init
    if not _is_known(MacroNamespaceBuilder) or not _is_known(MacroNamespace):
        return
    build_namespace = MacroNamespaceBuilder.build_namespace

    def build(self: Any, macros_by_package: Any, ctx: Any) -> Any:
        node, stack = self.node, self.thread_ctx
        for package, macros in macros_by_package.items():
            made = {name: MacroGenerator(macro, ctx, node, stack) for name, macro in macros.items()}
            if package in self.internal_package_names:
                self.internal_packages[package] = made
                continue
            self.packages[package] = made
            if package == self.search_package:
                self.locals.update(made)
            elif package == self.root_package:
                self.globals.update(made)
        return build_namespace(self, {}, ctx)

    def find(self: Any, key: str) -> Any:
        for names in (self.local_namespace, self.global_namespace, self.packages):
            if key in names:
                return names[key]
        return self.global_project_namespace if key == "dbt" else self.global_project_namespace[key]

    MacroNamespaceBuilder.build_namespace = build
    MacroNamespace.__getitem__ = find


def match_relations_quickly() -> None:
    """Ask the relations of a name whether they match, and not those of the whole schema.

    dbt looks through all of them several times a node, which is a sixth of a run with a thousand
    models, and more with more of them.
    """
    from dbt.adapters.base.impl import BaseAdapter
    from dbt.adapters.base.relation import BaseRelation

    if not _is_known(BaseRelation.matches) or not _is_known(BaseRelation._is_exactish_match):
        return
    match = BaseAdapter._make_match
    base = (BaseRelation.matches, BaseRelation._is_exactish_match)

    def of_that_name(
        adapter: Any, relations_list: Any, database: Any, schema: Any, identifier: Any
    ) -> Any:
        kind = adapter.Relation
        if type(identifier) is str and (kind.matches, kind._is_exactish_match) == base:
            quote = kind.quote_character
            name = identifier.lower().strip(quote)
            relations_list = [
                found
                for found in relations_list
                if str(found.path.identifier).lower().strip(quote) == name
            ]
        return match(adapter, relations_list, database, schema, identifier)

    BaseAdapter._make_match = of_that_name


#: Digests of dbt's source that the savings were written for; other source is left alone.
_KNOWN = {
    "BaseRelation._is_exactish_match": "aa59fea2343cd36b",  # dbt-adapters 1.14 to 1.24
    "BaseRelation.matches": "69c8ded1c5d9c8d6",
    "MacroNamespace": "2f1043ea8b9a14c8",  # dbt-core 1.9 to 1.11
    "MacroNamespaceBuilder": "176417cd59b282e8",
}


def _is_known(part: Any) -> bool:
    try:
        source = inspect.getsource(part)
    except OSError:
        return False
    return hashlib.sha256(source.encode()).hexdigest().startswith(_KNOWN[part.__qualname__])
