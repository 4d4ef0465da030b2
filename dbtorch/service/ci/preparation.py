"""Schemas of a pull request's own, and what is put there before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.config import Config
from dbtorch.core.errors import EngineError
from dbtorch.service.ci.beforehand import Clones, cloned, mocked, stand_ins
from dbtorch.service.ci.options import Cloning
from dbtorch.service.ci.session import CiSession
from dbtorch.service.ci.target import schemas_of
from dbtorch.service.tell import Tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What is to be there."""

    config: Config
    clone: Cloning
    words: tuple[str, ...]  # dbt's options
    built: tuple[Resource, ...]
    now: Code
    production: Code

    def made(
        self, session: CiSession, pr: str, project: str, say: Tell
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Make the schemas, each with a word whose it is, and what belongs there.

        Answers what could not be done, and which models are cloned. Raises `UsageError`.
        """
        try:
            mocks = stand_ins(self.config, session, self.built, self.now, self.production)
            places = [*schemas_of(self.built), *(one.source.place[:2] for one in mocks)]
            marked = session.mark([*dict.fromkeys(places)], pr, project)
        except EngineError as error:
            return (f"the schema is not marked, so no cleanup drops it: {error}",), ()
        ours = [where for where, there in marked.items() if there]
        clones = Clones(how=self.clone, built=self.built, production=self.production)
        with_rows = cloned(clones, session, ours, self.words, say)
        notes = (
            *(
                f"schema {schema} holds what somebody else has made, so it has no marker, no"
                " cleanup drops it, and nothing is put there beforehand"
                for (_, schema), there in marked.items()
                if not there
            ),
            *_not_found_again(marked, session.schema),
            *mocked(mocks, session, ours, say),
        )
        return notes, with_rows


def _not_found_again(schemas: Iterable[tuple[str, str]], own: str) -> Iterator[str]:
    """Schemas whose names `dbtorch ci cleanup` does not look for, a sentence each."""
    for _, schema in schemas:
        if not f"{schema.lower()}_".startswith(f"{own.lower()}_"):
            yield (
                f"schema {schema} does not begin with {own.lower()}, so no cleanup finds it: let"
                " generate_schema_name put the target's schema first"
            )
