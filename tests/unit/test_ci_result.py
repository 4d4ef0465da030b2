"""What a result says: whether it works, what it changes, who is affected."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dbtorch.cli.text.ci import ci_json, ci_text
from dbtorch.core.ci.changes import Change, Reason, Why
from dbtorch.core.ci.code import Code, Resource
from dbtorch.core.ci.comparison import Comparison, How, Retyped
from dbtorch.core.ci.place import CiPlace, fork_of, place_of
from dbtorch.core.ci.result import Affected, Against, CiResult, Compared, NodeResult
from dbtorch.core.ci.words import affected, changed, difference, verdict
from dbtorch.core.errors import UsageError
from dbtorch.core.model.graph import Kind
from dbtorch.core.model.state import RunState, State
from dbtorch.service.ci.forks import NoSecrets, refuse_without_secrets
from dbtorch.service.ci.options import CiOptions
from dbtorch.service.ci.target import refuse_another
from dbtorch.service.project.options import RunOptions

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def change(name: str, *reasons: Reason) -> Change:
    resource = Resource(id=f"model.shop.{name}", kind=Kind.MODEL, name=name, path=f"m/{name}.sql")
    return Change(resource=resource, reasons=reasons)


def node(name: str, state: State = State.SUCCESS, **more) -> NodeResult:
    return NodeResult(
        **{"id": f"model.shop.{name}", "name": name, "kind": Kind.MODEL, "state": state, **more}
    )


SAME = Comparison(rows_before=3, rows_after=3, key=("id",), added=0, removed=0, changed=0)
BODY = Reason(kind=Why.BODY)
DONE = CiResult(
    pr="12",
    project="shop",
    schema="ci_pr_12",
    commit="b" * 40,
    target="ci",
    against=Against(url="s3://kept/daily", at=NOON, commit="a" * 40),
    changes=(change("orders", BODY), change("kpi", Reason(kind=Why.UPSTREAM, names=("orders",)))),
    run_id="r1",
    nodes=(node("orders"), node("kpi", seconds=30.0, usual=10.0)),
    compared=(Compared(id="model.shop.orders", name="orders", comparison=SAME),),
    affected=(Affected(id="exposure.shop.board", name="board", kind=Kind.EXPOSURE, owner="Ann"),),
)


def test_three_sentences_say_it():
    assert verdict(DONE) == "It works: 2 nodes done in schema ci_pr_12."
    assert changed(DONE) == "It changes orders. 1 table holds what production's does."
    assert affected(DONE) == "It affects 1 exposure: board (Ann)."


def test_nothing_that_is_unknown_is_called_the_same():
    unknown = replace(SAME, share=0.5)
    compared = (replace(DONE.compared[0], comparison=unknown),)
    found = replace(DONE, compared=compared)
    assert "No difference from production was found; 1 table not in full." in changed(found)
    one = Compared(id="m", name="kpi", note="not compared: no", failed=True)
    missing = replace(DONE, compared=(one,))
    assert changed(missing) == "It changes orders. 1 table could not be compared."
    both = changed(replace(DONE, compared=(*DONE.compared, one)))
    assert both.endswith("1 table holds what production's does. 1 table could not be compared.")
    assert "not compared: no" in ci_text(missing)


def test_a_state_in_which_all_would_be_new_is_refused():
    one = Resource(id="model.shop.a", kind=Kind.MODEL, name="a")
    now = Code(resources={one.id: one}, macros={}, project="shop")
    with pytest.raises(UsageError, match="at s3://kept has no nodes: name another one"):
        refuse_another(replace(now, resources={}), now, "s3://kept")
    with pytest.raises(UsageError, match="is of project crm, and this is shop"):
        refuse_another(replace(now, project="crm"), now, "s3://kept")
    refuse_another(replace(now, project=""), now, "s3://kept")  # of a dbt that does not say
    refuse_another(replace(now, resources={}), now, "")  # everything is built


# how it ended, and what is said
VERDICTS = [
    (
        {"state": RunState.FAILED, "nodes": (node("a", State.FAILED), node("b", State.SKIPPED))},
        "It does not work: a failed; 1 node did not run.",
    ),
    (
        {"state": RunState.GATED, "nodes": (node("a", State.SKIPPED),)},
        "It is not done: the run is gated, and 1 node did not run.",
    ),
    ({"run_id": "", "nodes": ()}, "Nothing that dbt builds has changed."),
]


@pytest.mark.parametrize(("fields", "said"), VERDICTS)
def test_the_verdict_is_what_became_of_it(fields, said):
    assert verdict(replace(DONE, **fields)) == said


def test_failures_of_the_changed_files_come_first():
    failed = replace(
        DONE,
        state=RunState.FAILED,
        nodes=(
            node("a", State.FAILED, path="m/a.sql"),
            node("o", State.FAILED, path="m/orders.sql"),
        ),
    )
    assert [one.name for one in failed.failed] == ["o", "a"]


def test_formatting_is_told_apart_and_so_is_what_is_gone():
    note = Reason(kind=Why.BODY, formatting=True)
    found = replace(
        DONE, changes=(change("a", note),), deleted=("old",), steps=("load",), compared=()
    )
    assert changed(found) == (
        "It changes comments or formatting alone in 1 node; it deletes old; it changes step load."
    )


# a comparison, and what is said of it
DIFFERENCES = [
    (SAME, "the same 3 rows"),
    (replace(SAME, rows_after=5, added=2, examples={"added": (("7",), ("8",))}), "5 rows (+2); 2 added (id 7, 8)"),
    (
        replace(SAME, changed=3, in_both=3000, columns_changed={"a": 3, "b": 1}),
        "3 rows; 3 changed; a differs in 0.1%; b differs in less than 0.1%",
    ),
    (
        replace(SAME, columns_retyped=(Retyped(name="a", before="int", after="text"),)),
        "3 rows; a was int and is text",
    ),
    (replace(SAME, columns_added=("c",), columns_removed=("d",)), "3 rows; new: c; gone: d"),
    (replace(SAME, added=None, note="too many"), "3 rows; too many"),
    (
        replace(SAME, key=("a", "b"), removed=9, examples={"removed": (("1", "x"),)}, share=0.5),
        "3 rows; of a sample of 50%; 9 removed (a, b (1, x), …)",
    ),
    (replace(SAME, share=1e-6), "3 rows; of a sample of less than 0.1%"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "said"), DIFFERENCES)
def test_a_difference_is_one_line(found, said):
    assert difference(Compared(id="m", name="m", comparison=found)) == said


def test_the_text_has_every_part():
    assert (
        ci_text(DONE)
        == """\
It works: 2 nodes done in schema ci_pr_12.
It changes orders. 1 table holds what production's does.
It affects 1 exposure: board (Ann).

What is built  why
orders         body
kpi            upstream orders

Beside production  rows
orders             the same 3 rows

Affected     kind
board (Ann)  exposure

Slower than in production  took
kpi                        30.0s, not 10.0s"""
    )


def test_the_json_has_every_part():
    import json

    said = json.loads(ci_json(DONE))
    assert said["against"] == {
        "url": "s3://kept/daily",
        "at": "2026-11-30T12:00:00+00:00",
        "commit": "a" * 40,
    }
    assert said["changes"][0]["reasons"] == [{"why": "body", "names": [], "formatting": False}]
    assert said["compared"][0]["comparison"]["same"] is True
    assert [one["slower"] for one in said["nodes"]] == [False, True]


# an environment, and what it is
PLACES = [
    ({}, CiPlace()),
    (
        {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "main"},
        CiPlace(forge="github", pr="7", base="origin/main"),
    ),
    ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/main"}, CiPlace(forge="github")),
    (
        {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "3", "CI_MERGE_REQUEST_DIFF_BASE_SHA": "ab"},
        CiPlace(forge="gitlab", pr="3", base="ab"),
    ),
    (
        {
            "BITBUCKET_BUILD_NUMBER": "1",
            "BITBUCKET_PR_ID": "9",
            "BITBUCKET_PR_DESTINATION_BRANCH": "dev",
        },
        CiPlace(forge="bitbucket", pr="9", base="origin/dev"),
    ),
    (
        {
            "TF_BUILD": "True",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "5",
            "SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main",
        },
        CiPlace(forge="azure", pr="5", base="origin/main"),
    ),
]


@pytest.mark.parametrize(("environ", "place"), PLACES)
def test_the_environment_says_which_pull_request_it_is(environ, place):
    assert place_of(environ) == place


GITHUB = {"GITHUB_ACTIONS": "true"}
PULL = {"head": {"repo": {"full_name": "bo/shop"}}, "base": {"repo": {"full_name": "acme/shop"}}}
GITLAB = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_PROJECT_PATH": "acme/shop"}

# an environment, what GitHub says has happened, and the fork
FORKS = [
    (GITHUB, {"pull_request": PULL}, "bo/shop"),
    (GITHUB, {"pull_request": {**PULL, "head": PULL["base"]}}, ""),
    (GITHUB, {"pull_request": {**PULL, "head": {"repo": None}}}, "that is no longer there"),
    (GITHUB, {"ref": "refs/heads/main"}, ""),
    (GITHUB, {}, ""),
    ({**GITLAB, "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "bo/shop"}, {}, "bo/shop"),
    ({**GITLAB, "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "acme/shop"}, {}, ""),
    ({"GITLAB_CI": "true"}, {}, ""),
    (
        {"SYSTEM_PULLREQUEST_ISFORK": "True", "SYSTEM_PULLREQUEST_SOURCEREPOSITORYURI": "u"},
        *({}, "u"),
    ),
    ({"SYSTEM_PULLREQUEST_ISFORK": "False"}, {}, ""),
    ({}, {"pull_request": PULL}, ""),
]


@pytest.mark.parametrize(("environ", "event", "fork"), FORKS)
def test_a_pull_request_comes_from_a_fork(environ, event, fork):
    assert fork_of(environ, event) == fork


# what a profile says, and which variables of it a job lacks
PROFILES = [
    ({"password": "{{ env_var('PW') }}", "host": "db"}, "PW,"),
    ({"a": ["{{ env_var( \"B\" ) }}{{ env_var('A') }}"]}, "A, B,"),
    ({"password": "{{ env_var('PW', 'local') }}"}, None),
    ({"password": "{{ env_var('THERE') }}"}, None),
]


@pytest.mark.parametrize(("profile", "lacks"), PROFILES)
def test_a_fork_without_secrets_is_told_so(profile, lacks):
    environ = {"THERE": "1", "PW": ""}  # GitHub gives an empty text for a secret it keeps back
    refuse_without_secrets("", profile, "ci", environ)  # dbt says what is missing
    if lacks is None:
        refuse_without_secrets("bo/shop", profile, "ci", environ)
        return
    with pytest.raises(NoSecrets, match=f"fork bo/shop, whose jobs .* no secrets: {lacks} which"):
        refuse_without_secrets("bo/shop", profile, "ci", environ)


def settled(**given) -> CiOptions:
    environ = given.pop("environ", {})
    return CiOptions(run=RunOptions(environ=environ), **given).settled()[0]


def test_a_schema_is_named_after_the_target_and_the_pull_request():
    assert settled(pr="12").schema_of("analytics") == "analytics_pr_12"
    assert settled(pr="12", schema="ci_{pr}").schema_of("{{ env_var('A') }}") == "ci_12"
    assert settled(environ=PLACES[1][0]).pr == "7"
    assert settled(environ=PLACES[1][0], pr="8", base="v1").base == "v1"


@pytest.mark.parametrize("pr", ["1; drop", "a-b", "x" * 41, "1.2", "ü"])
def test_a_number_that_is_no_part_of_a_name_is_refused(pr):
    with pytest.raises(UsageError, match="cannot be part of a schema's name"):
        settled(pr=pr)


def test_how_relations_are_compared_has_defaults():
    assert (How().tolerance, How().sample_above) == (1e-9, 1_000_000)
