"""What dbt works out anew in every process from nothing but its own code, before it does anything.

Its dataclasses compile how they are read and written, and describe themselves as JSON schemas, when
they are asked first: more than half of what a small command costs once dbt is imported. A zygote asks
them, and a copy of it need not. Nothing of a project, an environment or a command is in it.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import FileFinder

#: What a parse consists of that dbt keeps: this is read and written as msgpack as well.
_KEPT = (
    "dbt.artifacts.resources.",
    "dbt.contracts.files",
    "dbt.contracts.graph.manifest",
    "dbt.contracts.graph.nodes",
    "dbt.artifacts.schemas.manifest.",
)

#: What is checked against its schema in most projects; a name that some dbt has not is no matter.
_CHECKED = {
    "Configuration",
    "Contract",
    "DuckDBCredentials",
    "GenericTestNode",
    "Hook",
    "HookNode",
    "ModelConfig",
    "ModelNode",
    "PackageConfig",
    "PostgresCredentials",
    "ProfileConfig",
    "Project",
    "ProjectFlags",
    "SeedConfig",
    "SeedNode",
    "SelectorFile",
    "SingularTestNode",
    "SnapshotConfig",
    "SnapshotNode",
    "SourceConfig",
    "SqlNode",
    "TestConfig",
    "TestResultData",
    "UnparsedModelUpdate",
    "UnparsedNodeUpdate",
    "UnparsedSourceDefinition",
}


def warm() -> None:
    """Have it worked out for what is imported by now."""
    from dbt_common.dataclass_schema import dbtClassMixin

    classes = dict.fromkeys(_subclasses(dbtClassMixin))
    for cls in classes:
        _compile(cls, "dict")
        if cls.__module__.startswith(_KEPT):
            _compile(cls, "msgpack")
        if cls.__name__ in _CHECKED:
            cls.json_schema()
    for cls in classes:
        _compile(cls, "dict_msgpack")  # where it stands in another one
    _write_json_at_once()
    _know_what_is_installed()
    _know_callers_at_once()
    _look_for_secrets_at_once()
    inspect.getmodule(warm.__code__)  # it looks where every module has come from, and keeps that


def _compile(cls: type, format: str) -> None:
    """Ask for it with nothing in hand: what is compiled then fails, and has done no more."""
    with suppress(Exception):
        getattr(cls, f"__mashumaro_from_{format}__")(None)
    with suppress(Exception):
        getattr(object.__new__(cls), f"__mashumaro_to_{format}__")()


def _write_json_at_once() -> None:
    """Let `json.dump` of an artifact take the encoder that `json.dumps` takes: the text is the same."""
    from dbt_common.utils.encoding import JSONEncoder

    def iterencode(self: JSONEncoder, o: object, _one_shot: bool = False) -> Iterator[str]:
        return super(JSONEncoder, self).iterencode(o, _one_shot=True)

    JSONEncoder.iterencode = iterencode  # type: ignore[method-assign]


def _know_what_is_installed() -> None:
    """Let dbt, which looks for plugins by their names, list the folders of packages no more."""
    installed = {
        path: [(one.name, one.ispkg) for one in pkgutil.iter_modules([path])]
        for path in sys.path
        if path.startswith((sys.prefix, sys.base_prefix))
    }
    listed = pkgutil._iter_file_finder_modules  # type: ignore[attr-defined]

    def iter_modules(importer: FileFinder, prefix: str = "") -> Iterator[tuple[str, bool]]:
        found = installed.get(importer.path)
        if found is None:
            return iter(listed(importer, prefix))
        return ((prefix + name, is_package) for name, is_package in found)

    pkgutil.iter_importer_modules.register(FileFinder, iter_modules)  # type: ignore[attr-defined]


def _know_callers_at_once() -> None:
    """Let a flag of dbt's look for who has made it without the source of everybody who calls."""
    from dbt_common import behavior_flags

    def default_source() -> str:
        frame = inspect.currentframe()
        while frame and (frame := frame.f_back):
            module = inspect.getmodule(frame)
            if module and module.__name__ != behavior_flags.__name__:
                return module.__name__
        return "Unknown"

    behavior_flags.BehaviorFlagRendered._default_source = staticmethod(default_source)


def _look_for_secrets_at_once() -> None:
    """Let dbt, which reads the whole environment for each line that it writes, read names alone."""
    from dbt_common.constants import SECRET_ENV_PREFIX
    from dbt_common.events import functions

    read, prefix = functions.env_secrets, os.fsencode(SECRET_ENV_PREFIX)

    def env_secrets() -> list[str]:
        names = os.environ._data  # type: ignore[attr-defined]
        return read() if any(name.startswith(prefix) for name in names) else []

    functions.env_secrets = env_secrets


def _subclasses(cls: type) -> Iterator[type]:
    for one in cls.__subclasses__():
        yield one
        yield from _subclasses(one)
