"""Work that dbt does for every node and nobody reads. Each patch leaves what is read as it is.

A patch is applied where the source of dbt that it was written for is what this dbt has, and
nowhere else; `engine.patches: false` in dbtorch.yml applies none. `dbtorch doctor` lists them.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Patch(NamedTuple):
    """One part of dbt that is done with fewer detours."""

    name: str  # for people
    parts: Callable[[], Sequence[Any]]  # of dbt: what it replaces, and what it relies on
    apply: Callable[[], None]

    def why_not(self) -> str:
        """Why this dbt is left as it is; nothing where it is patched."""
        try:
            changed = [part.__qualname__ for part in self.parts() if not _is_known(part)]
        except (ImportError, AttributeError):
            return "this dbt has not what it is about"
        return f"this dbt has another {' and '.join(changed)}" if changed else ""


def apply_patches() -> frozenset[str]:
    """Apply those that fit this dbt; answers their names."""
    fitting = [patch for patch in PATCHES if not patch.why_not()]  # as dbt is, before the first
    for patch in fitting:
        patch.apply()
    return frozenset(patch.name for patch in fitting)


def report() -> None:
    """Print as JSON, by name, why a patch is not applied; nothing for one that is."""
    print(json.dumps({patch.name: patch.why_not() for patch in PATCHES}))


def drop_unheard_events() -> None:
    """Turn no event into a message that no logger and no callback wants.

    Building and writing those takes 12 to 20 % of a run.
    """
    from dbt_common.events.base_types import EventLevel
    from dbt_common.events.event_manager import EventManager

    own, printed = _dbts_own_callbacks(), _printed()
    fire_event = EventManager.fire_event
    unheard = {EventLevel.DEBUG: 0, EventLevel.TEST: 0, EventLevel.INFO: 1}

    def fire(manager: Any, e: Any, level: Any = None, *args: Any, **kwargs: Any) -> None:
        rank = unheard.get(level or e.level_tag(), 2)
        if (
            rank == 2
            or type(e).__name__ in printed
            or any(callback not in own for callback in manager.callbacks)
            or any(unheard.get(logger.level, 2) <= rank for logger in manager.loggers)
        ):
            fire_event(manager, e, level, *args, **kwargs)

    EventManager.fire_event = fire


def _dbts_own_callbacks() -> tuple[Any, ...]:
    """Callbacks of dbt itself that are about warnings only."""
    import dbt.tracking

    found = getattr(dbt.tracking, "track_behavior_change_warn", None)  # since 1.10
    return () if found is None else (found,)


def _printed() -> frozenset[str]:
    """Events that dbt prints whatever its log level."""
    import dbt_common.events.logger

    return frozenset(getattr(dbt_common.events.logger, "PRINT_EVENT_NAMES", ("PrintEvent",)))


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
    """Make the objects that stand for macros in one go.

    dbt makes one for each macro of the project and its packages, some 500, several times a node,
    and calls a few of them.
    """
    from dbt.clients.jinja import MacroGenerator

    def init(
        self: Any, macro: Any, context: Any = None, node: Any = None, stack: Any = None
    ) -> None:
        self.macro = macro
        self.context = context
        self.node = node
        self.stack = stack

    MacroGenerator.__init__ = init


def find_macros_quickly() -> None:
    """Sort those objects into namespaces, and find them there, without detours."""
    from dbt.clients.jinja import MacroGenerator
    from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder

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


def _of_messages() -> Sequence[Any]:
    from dbt_common.events.base_types import BaseEvent

    return BaseEvent.__init__, BaseEvent.__getattr__


def _of_firing() -> Sequence[Any]:
    from dbt_common.events.event_manager import EventManager

    return (EventManager.fire_event,)


def _of_macros() -> Sequence[Any]:
    from dbt.clients.jinja import MacroGenerator

    return (MacroGenerator.__init__,)


def _of_namespaces() -> Sequence[Any]:
    from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder

    return MacroNamespaceBuilder, MacroNamespace


def _of_relations() -> Sequence[Any]:
    from dbt.adapters.base.impl import BaseAdapter
    from dbt.adapters.base.relation import BaseRelation

    return BaseAdapter._make_match, BaseRelation.matches, BaseRelation._is_exactish_match


#: The patch without which events do not say what they were made of.
LATE_MESSAGES = "late messages of events"

PATCHES = (
    Patch(LATE_MESSAGES, _of_messages, build_messages_late),
    Patch("no messages of unheard events", _of_firing, drop_unheard_events),
    Patch("quick macros", _of_macros, make_macros_quickly),
    Patch("quick namespaces of macros", _of_namespaces, find_macros_quickly),
    Patch("relations by name", _of_relations, match_relations_quickly),
)

#: Digests of dbt's source that the patches were written for; other source is left alone.
_KNOWN = {
    "BaseEvent.__init__": "19e8dedf28439f5a",  # dbt-common 1.25 to 1.39
    "BaseEvent.__getattr__": "176ebe1e89755a9f",
    "EventManager.fire_event": "5c04bc105a056ee9",
    "BaseAdapter._make_match": "643ac962a34a66a3",  # dbt-adapters 1.14 to 1.24
    "BaseRelation._is_exactish_match": "aa59fea2343cd36b",
    "BaseRelation.matches": "69c8ded1c5d9c8d6",
    "MacroGenerator.__init__": "ca8db6c1c00a3468",  # dbt-core 1.10 to 1.12
    "MacroNamespace": "2f1043ea8b9a14c8",  # dbt-core 1.9 to 1.11
    "MacroNamespaceBuilder": "176417cd59b282e8",
}


def _is_known(part: Any) -> bool:
    try:
        source = inspect.getsource(part)
    except OSError:
        return False
    return hashlib.sha256(source.encode()).hexdigest().startswith(_KNOWN[part.__qualname__])
