"""Work that dbt does for every node and nobody reads. Each saving leaves what is read as it is."""

from __future__ import annotations

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
    """Set a macro's four attributes in one place instead of three constructors.

    dbt makes one such object for each macro of the project and its packages, some 500, several
    times a node, and calls a few of them.
    """
    from dbt.clients.jinja import MacroGenerator

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
