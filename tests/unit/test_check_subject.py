"""What can be run twice, and where; what cannot is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbtorch.adapters.dbt.scratch import Relation
from dbtorch.core.config import Config, StepSpec
from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Kind, Node
from dbtorch.ports.engine import Selected
from dbtorch.service.idempotency.scratch_warehouse import ScratchWarehouse
from dbtorch.service.idempotency.subject import Subject, subject_of

SOURCE = "source.shop.raw.orders"
BASE, BETWEEN, MART = (f"model.shop.{name}" for name in ("base", "between", "mart"))

NODES = (
    Node(id=SOURCE, kind=Kind.SOURCE, name="raw.orders"),
    Node(id=BASE, kind=Kind.MODEL, name="base", materialized="ephemeral"),
    Node(id=BETWEEN, kind=Kind.MODEL, name="between", materialized="external"),
    Node(id=MART, kind=Kind.MODEL, name="mart", materialized="table"),
    Node(id="model.shop.dim.v2", kind=Kind.MODEL, name="dim", materialized="view"),
    Node(id="test.shop.t", kind=Kind.TEST, name="t"),
)

SELECTED = Selected(
    nodes=NODES,
    edges=((SOURCE, BASE), (BASE, MART), (BETWEEN, "model.shop.dim.v2")),
    selected=frozenset(),
    selected_edges=(),
    selected_sources=frozenset(),
    resolved={
        "source:raw.orders": frozenset({SOURCE}),
        "t": frozenset({"test.shop.t"}),
        "dim": frozenset({"model.shop.dim.v2"}),
        "mart": frozenset({MART}),
        "base": frozenset({BASE}),
        "between": frozenset({BETWEEN}),
        "base+": frozenset({BASE, MART}),
    },
    hooks=(),
    threads=1,
    fail_fast=False,
    target={"name": "dev"},
    exclusive_file=None,
    vars={},
    dbt_version="",
    adapter="",
    project="shop",
    project_dir=Path(),
    target_path=Path(),
    manifest_hash="",
)

CONFIG = Config(
    steps={
        spec.name: spec
        for spec in (
            StepSpec(name="ingest", type="python", action="a:b", produces=("source:raw.orders",)),
            StepSpec(name="silent", type="command", action="true"),
            StepSpec(name="call", type="http", action={}),
            StepSpec(name="local", type="http", action={}, opens_database=True),
            StepSpec(name="away", type="command", action="true", opens_database=False),
        )
    }
)

REFUSED = [
    ("call", "step call does not write to the warehouse by itself (it is of type http)"),
    ("away", "(it says opens_database: false)"),
    ("step:ingets", 'there is no step ingets; did you mean "ingest"?'),
    ("martt", "there is no step or model 'martt'; did you mean \"mart\"?"),
    ("base", "an ephemeral model makes no relation; check the models that read it"),
    ("between", "an external model writes files"),
    ("source:raw.orders", "a source makes no relation"),
    ("t", "a test makes no relation"),
    ("base+", "'base+' names 2 nodes: model.shop.base, model.shop.mart; name one of them"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        subject_of(text, CONFIG, SELECTED)
    assert said in str(refused.value)


def test_a_step_writes_the_sources_it_produces() -> None:
    assert subject_of("step:ingest", CONFIG, SELECTED).writes == (SOURCE,)
    assert subject_of("silent", CONFIG, SELECTED).writes == ()
    assert subject_of("local", CONFIG, SELECTED).step is CONFIG.steps["local"]


def test_a_model_reads_sources_also_through_ephemeral_models() -> None:
    found = subject_of("mart", CONFIG, SELECTED)
    assert (found.writes, found.reads, found.selection) == ((MART,), (SOURCE,), "mart")
    assert subject_of("dim", CONFIG, SELECTED).name == "dim.v2"


# ---------------------------------------------------------------- schemas


SCHEMA = "dbtorch_check_1"


def place(schema: str = SCHEMA) -> ScratchWarehouse:
    return ScratchWarehouse(
        folder=Path(),
        target="dev",
        real_file=None,
        had_file=False,
        schema=schema,
        state=Path("real"),
    )


def relations(**schemas: str) -> dict[str, Relation]:
    ids = {"source": SOURCE, "mart": MART}
    return {
        ids[key]: Relation(name=f'"{schema}".{key}', database="shop", schema=schema)
        for key, schema in schemas.items()
    }


STAYS = [
    # asked for, where relations are in the scratch place and really, what is said
    ("silent", {}, {}, "name its sources under produces:"),
    ("ingest", {"source": "raw"}, {"source": "raw"}, "schema raw is the same whatever the target"),
    ("mart", {"mart": "fixed", "source": "raw"}, {"source": "raw"}, "built in schema fixed whatev"),
    (
        "mart",
        {"mart": SCHEMA, "source": f"{SCHEMA}_raw"},
        {"source": "shop_raw"},
        'mart reads "shop_raw".source, whose schema follows the target\'s',
    ),
]


@pytest.mark.parametrize(("text", "here", "there", "said"), STAYS)
def test_what_would_not_land_in_the_scratch_schema(
    text: str, here: dict[str, str], there: dict[str, str], said: str
) -> None:
    subject = subject_of(text, CONFIG, SELECTED)
    with pytest.raises(UsageError) as refused:
        place().must_hold(subject, relations(**here), relations(**there))
    assert said in str(refused.value)
    place(schema="").must_hold(subject, relations(**here), relations(**there))  # a copy holds all


def test_a_model_in_a_scratch_schema_reads_what_is_really_there() -> None:
    subject = subject_of("mart", CONFIG, SELECTED)
    here = relations(mart=f"{SCHEMA}_marts", source="raw")
    place().must_hold(subject, here, relations(mart="shop_marts", source="raw"))
    words = place().dbt_args(("--target", "prod", "--vars", "{a: 1}"), subject)
    assert words[:4] == ("--vars", "{a: 1}", "--target", "dev")
    assert words[-4:] == ("--defer", "--favor-state", "--state", "real")
    assert "--defer" not in place(schema="").dbt_args((), subject)
    step = Subject(id="step.x", name="x")
    assert place().dbt_args((), step)[-2:] == ("--exclude", "*")
