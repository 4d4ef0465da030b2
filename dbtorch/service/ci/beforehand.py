"""What is put into a pull request's schemas before anything is built: clones, and stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from dbtorch.core.ci.code import Code, Resource, Source
from dbtorch.core.config import Config, InCi
from dbtorch.core.errors import EngineError, UsageError
from dbtorch.core.model.graph import Kind
from dbtorch.core.text.phrases import and_more
from dbtorch.service.ci.options import Cloning
from dbtorch.service.ci.session import CiSession

#: Options for dbt with which no model goes on with the rows that are there.
_ANEW = {"--full-refresh", "--empty"}

#: Names that a sentence lists.
_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A source of this pull request's own that a step would fill, and what takes its place."""

    source: Source
    of: Source | None  # production's; None: it is empty

    def make(self, session: CiSession) -> None:
        """Make it. Raises `EngineError`."""
        if self.of is not None:
            session.engine.make(self.source.place, f"select * from {self.of.relation}", view=True)
            return
        typed = (f"cast(null as {type}) as {name}" for name, type in self.source.columns.items())
        session.engine.make(self.source.place, f"select {', '.join(typed)} limit 0", view=False)


def stand_ins(
    config: Config, session: CiSession, built: Iterable[Resource], now: Code, production: Code
) -> tuple[StandIn, ...]:
    """What stands in for the sources that mocked steps fill and that something built reads.

    A source that is in the same place as production's is read there. Raises `UsageError`, and
    `EngineError` where the warehouse does not answer.
    """
    read = {id for one in built for id in one.parents}
    resolved = session.selected.resolved
    found = []
    for step in config.steps.values():
        if step.ci is not InCi.MOCK:
            continue
        for id in sorted({id for text in step.produces for id in resolved.get(text, ())} & read):
            here, there = now.sources[id], production.sources.get(id)
            if there is not None and here.place == there.place:
                continue
            if there is not None and not session.engine.columns(*there.place):
                there = None
            if there is None and (not here.columns or not all(here.columns.values())):
                raise UsageError(
                    f"{step.origin}: step {step.name} has `ci: mock`, and nothing can stand in for"
                    f" source {here.name}: production has none, and its columns are not all"
                    " declared with a data_type; declare them, or give the step `ci: run`"
                )
            found.append(StandIn(source=here, of=there))
    return tuple(found)


def mocked(
    found: Iterable[StandIn],
    session: CiSession,
    marked: Collection[tuple[str, str]],
    say: Callable[[str], None],
) -> Iterator[str]:
    """Make them in schemas that are marked; answers what could not be done, a sentence each."""
    for one in found:
        if one.source.place[:2] not in marked:
            continue
        try:
            one.make(session)
        except EngineError as error:
            yield f"nothing stands in for source {one.source.name}: {error}"
            continue
        what = "an empty table" if one.of is None else "production's table"
        say(f"{what} stands in for source {one.source.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clones:
    """Production's rows for incremental models and snapshots: they go on as they will there."""

    how: Cloning
    built: tuple[Resource, ...]
    production: Code

    def wanted(self, words: Collection[str]) -> tuple[tuple[Resource, Resource], ...]:
        """Models that go on with rows, and production's of each; ``words`` are dbt's options."""
        if self.how is Cloning.OFF or _ANEW & {*words}:
            return ()
        pairs = ((one, self.production.resources.get(one.id)) for one in self.built)
        return tuple((one, old) for one, old in pairs if old is not None and _goes_on(one))

    def make(
        self, session: CiSession, marked: Collection[tuple[str, str]], words: Collection[str]
    ) -> Iterator[tuple[str, bool]]:
        """Clone them in schemas that are marked; answers names, and whether each has its rows."""
        for one, old in self.wanted(words):
            if one.place[:2] not in marked:
                yield one.name, False
            elif session.engine.clone(one.place, old.place):
                yield one.name, True
            elif self.how is Cloning.COPY and session.engine.columns(*old.place):
                session.engine.make(one.place, f"select * from {old.relation}", view=False)
                yield one.name, True
            else:
                yield one.name, False


def _goes_on(one: Resource) -> bool:
    """Whether it builds upon the rows that are there."""
    return one.kind is Kind.SNAPSHOT or (
        one.kind is Kind.MODEL and one.materialized == "incremental"
    )


def cloned(
    clones: Clones,
    session: CiSession,
    marked: Collection[tuple[str, str]],
    words: Collection[str],
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Clone, and say which models go on with production's rows and which are built anew."""
    try:
        made = [*clones.make(session, marked, words)]
    except EngineError as error:
        say(f"nothing is cloned, so incremental models are built from nothing: {error}")
        return ()
    with_rows = tuple(name for name, there in made if there)
    without = tuple(name for name, there in made if not there)
    if with_rows:
        listed = and_more(with_rows[:_LISTED], len(with_rows))
        say(f"cloned from production: {listed}")
    if without:
        say(
            f"built from nothing, as production's tables are not cloned here:"
            f" {and_more(without[:_LISTED], len(without))} (--clone copy copies their rows,"
            " --limit-event-time builds a part)"
        )
    return with_rows
