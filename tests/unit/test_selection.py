"""Selections taken apart: what is dbt's to read, and what is named of steps and checks."""

import pytest

from dbtorch.core.config import Config, Origin, PipelineSpec, StepSpec
from dbtorch.core.errors import SelectionError, UsageError
from dbtorch.core.model.selection import take_apart
from dbtorch.service.project.options import RunOptions


def step(name, **fields):
    return StepSpec(name=name, type="command", action="true", **fields)


STEPS = {
    spec.name: spec
    for spec in (
        step("extract"),
        step(
            "load",
            after=("step:extract",),
            produces=("source:raw.orders", "source:raw.lines"),
        ),
        step("clean", after=("step.load", "stg_orders"), produces=("source:tidy.orders",)),
        step("push", after=("mart", "exposure:kpis")),
        step("announce", after=("push",)),
        step("odd", after=("tag:a,tag:b", "selector:nightly"), produces=("source:odd.*",)),
    )
}


@pytest.mark.parametrize(
    ("text", "dbt", "steps", "reached"),
    [
        # what is dbt's stays as it is
        ("+mart", ["+mart"], "", ""),
        ("tag:a,path:b @c 2+d+3", ["tag:a,path:b", "@c", "2+d+3"], "", ""),
        # a step is that step
        ("step:load", [], "load", ""),
        ("step:*l*", [], "load clean", ""),
        ("step:load step:push mart", ["mart"], "load push", ""),
        # what comes after: its sources, what reads them, and steps after it
        (
            "step:load+",
            ["source:raw.orders+", "source:raw.lines+", "source:tidy.orders+"],
            "load",
            "clean",
        ),
        ("step:load+1", ["source:raw.orders", "source:raw.lines"], "load", "clean"),
        (
            "step:load+2",
            ["source:raw.orders+1", "source:raw.lines+1", "source:tidy.orders"],
            "load",
            "clean",
        ),
        ("step:push+", [], "push", "announce"),
        # what comes before: dbt's nodes with all before them, and steps, which are named so
        ("+step:push", ["+mart", "+exposure:kpis"], "push", ""),
        ("+step:announce", ["+mart", "+exposure:kpis"], "announce push", ""),
        ("1+step:push", ["mart", "exposure:kpis"], "push", ""),
        ("2+step:announce", ["mart", "exposure:kpis"], "announce push", ""),
        ("1+step:announce", [], "announce push", ""),
        ("+step:clean", ["+stg_orders"], "clean load extract", ""),
        # what comes after, with all that comes before that
        (
            "@step:load",
            ["@source:raw.orders", "@source:raw.lines", "@source:tidy.orders", "+stg_orders"],
            "load extract",
            "clean",
        ),
        # intersections
        (
            "step:load+,tag:daily",
            [
                "source:raw.orders+,tag:daily",
                "source:raw.lines+,tag:daily",
                "source:tidy.orders+,tag:daily",
            ],
            "",
            "",
        ),
        ("step:l*,step:*d", [], "load", ""),
        ("+step:announce,step:push", [], "push", ""),
        ("step:odd+", ["source:odd.*+"], "odd", ""),
    ],
)
def test_a_selection_comes_to(text, dbt, steps, reached):
    found = take_apart([text], STEPS)
    assert sorted(found.dbt) == sorted(dbt)
    assert (found.steps, found.reached) == (set(steps.split()), set(reached.split()))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("step:lod", '"step:lod" names no step; did you mean "step:load"?'),
        (
            "step:load,tag:daily",
            '"step:load,tag:daily" can match nothing: a step alone has nothing in common with'
            " anything else (a space instead of the comma selects both)",
        ),
        (
            "+check:mart",
            '"+check:mart" cannot be read: a check is check:<name>, without commas and without +',
        ),
        (
            "2+step:odd",
            '"2+step:odd" cannot be read: step odd comes after "tag:a,tag:b", from which + leads'
            " nowhere; select that by itself",
        ),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text, sentence):
    with pytest.raises(SelectionError) as caught:
        take_apart([text], STEPS)
    assert str(caught.value) == sentence


def test_for_sources_a_step_stands_for_those_it_produces():
    found = take_apart(["step:load"], STEPS, sources=True)
    assert found.dbt == ("source:raw.orders", "source:raw.lines")


def test_steps_that_follow_each_other_in_a_circle_are_walked_once():
    circle = {name: step(name, after=(other,)) for name, other in (("a", "b"), ("b", "a"))}
    assert take_apart(["@step:a"], circle).steps == {"a", "b"}


CONFIG = Config(
    steps=STEPS,
    pipelines={
        "both": PipelineSpec(name="both", select=("mart", "step:push"), exclude=("step:odd",)),
        "wrong": PipelineSpec(
            name="wrong", select=("check:mart",), origin=Origin(file="dbtorch.yml", line=9)
        ),
    },
)
NOTHING = ("--select", "fqn:*", "--exclude", "fqn:*")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), ()),
        (
            ("--select", "step:load+1"),
            ("--select", "source:raw.orders", "--select", "source:raw.lines"),
        ),
        # steps alone are nothing of dbt's, and then there is nothing to leave out
        (("--select", "step:push", "--exclude", "mart"), NOTHING),
        (("--exclude", "step:push"), ()),
        (("--exclude", "step:push check:mart tag:a"), ("--exclude", "tag:a")),
        (("--selector", "nightly", "--select", "step:push"), ("--selector", "nightly")),
    ],
)
def test_dbt_is_never_given_a_step(given, words):
    assert RunOptions(dbt_args=given, narrowed=bool(given)).dbt_args_for(CONFIG) == words


def test_a_pipeline_names_steps_in_the_same_words():
    options = RunOptions(pipeline="both")
    assert options.dbt_args_for(CONFIG) == ("--select", "mart")
    assert options.choosing(CONFIG).downstream
    assert options.choosing(CONFIG).select.steps == {"push"}


def test_a_check_cannot_be_run_without_what_it_looks_at():
    with pytest.raises(UsageError, match=r'dbtorch.yml:9: "check:mart" cannot be selected alone'):
        RunOptions(pipeline="wrong").dbt_args_for(CONFIG)


@pytest.mark.parametrize(
    ("options", "both", "everything"),
    [
        (RunOptions(), True, True),
        (RunOptions(dbt_args=("--select", "mart"), narrowed=True), False, False),
        (
            RunOptions(dbt_args=("--select", "mart"), narrowed=True, downstream_steps=True),
            True,
            False,
        ),
        (RunOptions(dbt_args=("--selector", "x"), narrowed=True), False, False),
        (RunOptions(dbt_args=("--exclude", "mart"), narrowed=True), True, False),
        (RunOptions(dbt_args=("--exclude", "step:push"), narrowed=True), True, True),
        (RunOptions(pipeline="both"), True, False),
    ],
)
def test_steps_after_a_selection_come_along_where_that_was_asked_for(options, both, everything):
    choosing = options.choosing(CONFIG)
    assert (choosing.downstream, choosing.everything) == (both, everything)
