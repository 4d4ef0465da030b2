"""What changed between production and a pull request, and why each node is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dbtorch.core.ci.code import Code, Macro, Resource, same_logic
from dbtorch.core.model.graph import Kind


class Why(StrEnum):
    """Why a node is selected."""

    NEW = "new"  # production has none of this name
    RENAMED = "renamed"  # production has the same code under another name
    BODY = "body"  # its own file
    CONFIG = "config"  # its configuration, here or in dbt_project.yml
    CONTRACT = "contract"  # its columns or constraints
    DESCRIPTION = "description"  # which dbt writes into the warehouse where it is told to
    MACRO = "macro"  # a macro that it uses, by way of others too
    VAR = "var"  # a variable of dbt_project.yml that it reads, by way of macros too
    SOURCE = "source"  # a source that it reads: it is another table, or is described otherwise
    STEP = "step"  # a step that fills what it reads
    TEST = "test"  # it tests what is selected
    UPSTREAM = "upstream"  # something it reads is selected
    CHOSEN = "chosen"  # nothing of it changed, but the selection names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason, and who is the cause of it."""

    kind: Why
    names: tuple[str, ...] = ()  # of macros, steps or nodes
    formatting: bool = False  # comments and formatting alone

    def __str__(self) -> str:
        names = f" {', '.join(self.names[:3])}{', …' if len(self.names) > 3 else ''}"
        told = f"{self.kind}{names if self.names else ''}"
        return f"{told} (comments and formatting only)" if self.formatting else told


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A node that is built, and why."""

    resource: Resource
    reasons: tuple[Reason, ...]

    @property
    def changed(self) -> bool:
        """Whether the node itself changed, or what it is made of."""
        return any(
            reason.kind not in (Why.UPSTREAM, Why.TEST, Why.CHOSEN) for reason in self.reasons
        )

    @property
    def formatting(self) -> bool:
        """Whether comments and formatting are all that changed of it."""
        return self.changed and all(
            one.formatting or one.kind in (Why.UPSTREAM, Why.TEST) for one in self.reasons
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that a pull request changes."""

    nodes: tuple[Change, ...]  # those that are selected, in the order of dbt
    deleted: tuple[str, ...] = ()  # names of nodes that production has and the pull request has not
    steps: tuple[str, ...] = ()  # names of steps that changed or are new
    steps_gone: tuple[str, ...] = field(default=())


def compare_code(
    now: Code,
    before: Code,
    selected: Iterable[str],
    *,
    fed: Mapping[str, tuple[str, ...]] | None = None,
    unseen: Mapping[str, tuple[Reason, ...]] | None = None,
    sources: Collection[str] = (),
) -> Changes:
    """Why each of the ``selected`` nodes is in.

    ``fed`` are nodes and sources that changed steps fill, with the names of these steps; ``unseen``
    is why nodes changed of which manifests say nothing, and ``sources`` are those that changed.
    """
    chosen = dict.fromkeys(selected)
    macros = _changed_macros(now.macros, before.macros)
    gone = [one for id, one in before.resources.items() if id not in now.resources]
    others = unseen or {}
    own = {
        id: (*_own(now, before, macros, gone, id), *_read(now, id, sources), *others.get(id, ()))
        for id in chosen
    }
    named = {id: now.resources[id] for id in chosen if id in now.resources}
    nodes = tuple(
        Change(resource=one, reasons=_with_others(one, own, named, fed or {}))
        for id, one in named.items()
    )
    return Changes(
        nodes=nodes, deleted=tuple(sorted(one.name for one in gone if _is_missed(one, now)))
    )


def _is_missed(gone: Resource, now: Code) -> bool:
    """Whether somebody has deleted or disabled what is gone, and not what it tests with it.

    What is disabled by the words it always had, such as the name of a target, is as it was.
    """
    off = now.disabled.get(gone.id)
    if off is not None and dict(off.config) == dict(gone.config):
        return False
    if gone.kind in (Kind.TEST, Kind.UNIT_TEST):
        return all(id in now.resources or id in now.sources for id in gone.parents)
    return gone.kind in (Kind.MODEL, Kind.SEED, Kind.SNAPSHOT)


def _own(
    now: Code, before: Code, macros: Mapping[str, bool], gone: list[Resource], id: str
) -> Iterator[Reason]:
    """What changed of a node itself."""
    one, old = now.resources.get(id), before.resources.get(id)
    if one is None:
        return
    if old is None:
        twins = [x.name for x in gone if x.kind is one.kind and _same_file(x, one)]
        yield Reason(kind=Why.RENAMED, names=tuple(twins)) if twins else Reason(kind=Why.NEW)
        return
    if (one.code or one.checksum) != (old.code or old.checksum):
        formatting = bool(one.code) and same_logic(one.code, old.code, language=one.language)
        yield Reason(kind=Why.BODY, formatting=formatting)
    if dict(one.config) != dict(old.config):
        keys = {key for key in {*one.config, *old.config} if _said(one, key) != _said(old, key)}
        yield Reason(kind=Why.CONFIG, names=tuple(sorted(keys)))
    if one.contract != old.contract:
        yield Reason(kind=Why.CONTRACT)
    if one.description != old.description:
        yield Reason(kind=Why.DESCRIPTION)
    if used := sorted(macros.keys() & reached(one.macros, now.macros)):
        names = tuple(name.rpartition(".")[2] for name in used)
        yield Reason(kind=Why.MACRO, names=names, formatting=all(macros[name] for name in used))


def _read(now: Code, id: str, sources: Collection[str]) -> Iterator[Reason]:
    """Sources that changed and that a node reads."""
    parents = now.resources[id].parents if id in now.resources else ()
    if names := tuple(now.sources[one].name for one in parents if one in sources):
        yield Reason(kind=Why.SOURCE, names=names)


def _with_others(
    one: Resource,
    own: Mapping[str, tuple[Reason, ...]],
    named: Mapping[str, Resource],
    fed: Mapping[str, tuple[str, ...]],
) -> tuple[Reason, ...]:
    """The reasons of a node, with those that come from others."""
    found = list(own[one.id])
    if steps := dict.fromkeys(name for id in one.parents for name in fed.get(id, ())):
        found.append(Reason(kind=Why.STEP, names=tuple(steps)))
    parents = tuple(named[id].name for id in one.parents if id in named)
    if parents:
        tests = one.kind in (Kind.TEST, Kind.UNIT_TEST)
        found.append(Reason(kind=Why.TEST if tests else Why.UPSTREAM, names=parents))
    return tuple(found) or (Reason(kind=Why.CHOSEN),)


def _said(one: Resource, key: str) -> object:
    return one.config.get(key)


def _same_file(one: Resource, other: Resource) -> bool:
    return bool(one.checksum) and one.checksum == other.checksum


def _changed_macros(now: Mapping[str, Macro], before: Mapping[str, Macro]) -> dict[str, bool]:
    """Macros that differ, or that are gone or new; True where it is comments and formatting."""
    found = {}
    for id in {*now, *before}:
        one, old = now.get(id), before.get(id)
        if one is None or old is None:
            found[id] = False
        elif one.code != old.code:
            found[id] = same_logic(one.code, old.code)
    return found


def reached(macros: Iterable[str], known: Mapping[str, Macro]) -> set[str]:
    """These macros and all that they call."""
    found: set[str] = set()
    waiting = [*macros]
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            waiting += known[id].macros if id in known else ()
    return found
