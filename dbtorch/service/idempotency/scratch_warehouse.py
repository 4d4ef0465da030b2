"""Where a node is run twice: on a copy of the DuckDB file, or in schemas of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dbtorch.adapters.dbt.scratch import Relation, copy_of_file, redirected
from dbtorch.core.errors import UsageError
from dbtorch.ports.engine import Selected
from dbtorch.service.idempotency.subject import Subject
from dbtorch.service.project.dbt_options import without

#: What the name of every scratch schema begins with.
PREFIX = "dbtorch_check_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchWarehouse:
    """A scratch warehouse, and what dbt has to be told to use it."""

    folder: Path  # for everything that is written, gone afterwards
    target: str
    real_file: Path | None  # the DuckDB file that was copied
    had_file: bool
    schema: str  # what scratch schemas are called; empty on a copy
    state: Path  # folder of the manifest of the real target

    @property
    def title(self) -> str:
        """What it is, for people."""
        if self.real_file is not None:
            return f"a copy of {self.real_file.name}"
        return f"the scratch schema {self.schema}"

    def dbt_args(self, given: tuple[str, ...], subject: Subject) -> tuple[str, ...]:
        """Options of `dbt build` that select the subject, if dbt runs it, in this place."""
        words = without(given, {"--profiles-dir", "--target"})
        words += ("--target", self.target, "--profiles-dir", str(self.folder / "profiles"))
        words += ("--target-path", str(self.folder / "target"))
        words += ("--log-path", str(self.folder / "logs"), "--write-json")
        if not subject.selection:
            return (*words, "--exclude", "*")
        words += ("--select", subject.selection)
        for kind in ("model", "seed", "snapshot"):
            words += ("--resource-type", kind)
        if self.schema:  # what it reads is read where it really is
            words += ("--defer", "--favor-state", "--state", str(self.state))
        return words

    def must_hold(
        self, subject: Subject, here: Mapping[str, Relation], there: Mapping[str, Relation]
    ) -> None:
        """Make sure that what is written lands in the scratch schemas, and what is read exists.

        ``there`` are the real relations. A copy of the database holds all anyway.
        Raises `UsageError`.
        """
        if not self.schema:
            return
        if not subject.writes:
            raise UsageError(
                f"step {subject.name} says nothing of what it produces, so nobody knows what it "
                f"would write to on target {self.target}; name its sources under produces:, "
                "or check it on a DuckDB target"
            )
        for id in subject.writes:
            if not here[id].schema.lower().startswith(self.schema):
                raise UsageError(self._stays(subject, here[id]))
        for id in subject.reads:
            if here[id] != there[id]:
                raise UsageError(
                    f"{subject.name} reads {there[id].name}, whose schema follows the target's, so "
                    "a scratch schema has no rows of it; check it on a DuckDB target"
                )

    def _stays(self, subject: Subject, relation: Relation) -> str:
        schema = relation.schema
        if subject.step is None:
            return (
                f"{subject.name} is built in schema {schema} whatever the target's schema is "
                "(a generate_schema_name or target_schema of the project says so), so it cannot be "
                "redirected; check it on a target where its schema follows target.schema"
            )
        return (
            f"step {subject.name} produces {relation.name}, and schema {schema} is the same "
            f"whatever the target's schema is, so the step would write to the real one; "
            "check it on a DuckDB target, or let the source and the step follow the target: "
            "schema: \"{{ target.schema }}_raw\" and context.target['schema']"
        )


def make_scratch_warehouse(
    stack: ExitStack, folder: Path, selected: Selected, subject: Subject
) -> ScratchWarehouse:
    """Copy the file, or name a schema, and redirect the profile.

    Raises `UsageError`, `ScratchError`.
    """
    target = str(selected.target["name"])
    if selected.target["type"] == "duckdb" and str(selected.target["path"]) == ":memory:":
        raise UsageError(
            f"target {target} keeps its database in memory: there is nothing that could be copied"
        )
    real = Path(selected.exclusive_file) if selected.exclusive_file is not None else None
    copy, schema = None, ""
    had_file = real is not None and real.exists()
    if real is None:
        schema = PREFIX + secrets.token_hex(4)
    else:
        (folder / "database").mkdir()
        keep_lock = subject.step is not None  # dbt writes where it is told, a step may not
        copied = copy_of_file(real, folder / "database", keep_lock=keep_lock)
        copy = stack.enter_context(copied)
    text = redirected(_profiles(selected), target, path=copy, schema=schema or None)
    (folder / "profiles").mkdir()
    (folder / "profiles" / "profiles.yml").write_text(text, encoding="utf-8")
    return ScratchWarehouse(
        folder=folder,
        target=target,
        real_file=real,
        had_file=had_file,
        schema=schema,
        state=selected.target_path,
    )


def _profiles(selected: Selected) -> Path:
    """The profiles.yml that dbt has read."""
    found = (Path(name) for name in selected.watched)
    return next(path for path in found if path.name == "profiles.yml")
