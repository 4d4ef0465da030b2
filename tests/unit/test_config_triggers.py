"""`on:` in dbtorch.yml: what it comes to, and one sentence for what is wrong."""

import pytest

from dbtorch.adapters.config.loading import load
from dbtorch.core.errors import ConfigError
from dbtorch.core.model.state import RunState

HOOK = "webhook: {secret: \"{{ env_var('HOOK') }}\", rate: 5}"


def read(folder, on, more=""):
    text = f"version: 1\npipelines:\n  staging: {{}}\n  marts:\n    on: {on}\n{more}"
    (folder / "dbtorch.yml").write_text(text)
    return load(folder, environ={}).pipelines["marts"].on


def test_one_condition_stands_alone_and_several_under_any_or_all(tmp_path):
    (one,) = read(tmp_path, "{pipeline: staging, states: [failed, gated], debounce: 1m}").all
    assert (one.pipeline, one.states) == ("staging", (RunState.FAILED, RunState.GATED))
    both = read(tmp_path, "{any: [{file: in/, stable: 1m}, {http: 'https://x/ready'}]}")
    assert [str(one) for one in both.any] == ["file in/", "http https://x/ready"]
    assert both.any[0].stable == 60
    hook = read(tmp_path, f"{{{HOOK}}}").webhook
    assert (hook.secret, hook.rate) == ("{{ env_var('HOOK') }}", 5)  # nobody but serve needs it
    every = read(tmp_path, "{all: [{asset: model:orders}, {source: shop.orders}, {sql: select 1}]}")
    assert len({one.key for one in every.all}) == 3


@pytest.mark.parametrize(
    ("on", "why"),
    [
        ("{}", "pipelines.marts.on says no condition; give it one of pipeline, asset, source"),
        ("{pipelin: staging}", 'did you mean "pipeline"'),
        ("{pipeline: stagin}", 'names pipeline "stagin", which there is not; did you mean'),
        ("{pipeline: staging, file: in/}", "has pipeline and file; keep one, or write them under"),
        ("{pipeline: staging, any: [{file: in/}]}", "stands beside any; move it into that list"),
        ("{any: []}", "has an empty any; give it a condition"),
        ("{any: [{file: in/}, {file: in/}]}", "has a condition twice"),
        ("{pipeline: staging, states: [done]}", "expected one of success, gated, failed"),
        ("{pipeline: staging, stable: 10s}", "stable has no effect on pipeline; remove it"),
        ("{file: in/, stable: 10s, marker: _OK}", "marker replaces stable; keep one of them"),
        ("{file: 'a b://x'}", 'begins with "a b://", which is no protocol'),
        ("{asset: orders}", 'is "orders"; expected such as model:orders'),
        ("{asset: step:load}", 'names step "load", which there is not; define it'),
        ("{source: orders}", 'is "orders"; expected <source>.<table>, such as shop.orders'),
        ("{http: {until: json.done}}", "pipelines.marts.on.http has no url"),
        ("{http: {url: 'https://x', until: 'json.'}}", "has an until that is no expression"),
        ("{http: {url: 'https://x', method: POST}}", 'unknown key "method"'),
        ("{webhook: {rate: 5}}", "pipelines.marts.on.webhook has no secret"),
        (f"{{all: [{{file: in/}}, {{{HOOK}}}]}}", "a webhook together with others under all"),
        ("{pipeline: staging, max_age: 1h}", "has max_age, which is for wait_for"),
        ("{pipeline: marts}", "starts a ring that never ends: marts -> marts; break it"),
        ("{pipeline: staging, every: 0s}", "every"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, on, why):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, on)
    assert why in str(caught.value)
    assert str(caught.value).startswith("dbtorch.yml:5: ")
    assert "\n" not in str(caught.value)


def test_a_ring_of_pipelines_is_told_once(tmp_path):
    more = "  a: {on: {pipeline: b}}\n  b: {on: {pipeline: a}}\n"
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "{pipeline: staging}", more)
    assert len(caught.value.problems) == 1
    assert "starts a ring that never ends: a -> b -> a" in str(caught.value)


def step(folder, waits):
    (folder / "dbtorch.yml").write_text(f"version: 1\nsteps:\n  w:\n    wait_for: {waits}\n")
    return load(folder, environ={}).steps["w"]


def test_a_step_waits_for_the_same(tmp_path):
    one = step(tmp_path, "{file: in/, every: 1m, for: 2h, then: skip}")
    assert (one.wait.every, one.wait.patience, one.wait.then) == (60, 7200, "skipped")
    assert (one.on_engine, one.opens_database) == (False, False)
    assert step(tmp_path, "{sql: select 1}").on_engine
    several = step(tmp_path, "{any: [{file: in/, every: 1m}, {pipeline: default, max_age: 2h}]}")
    assert several.wait.every == 2  # as often as the most impatient one wants


@pytest.mark.parametrize(
    ("waits", "why"),
    [
        ("{for: 2h}", "says no condition"),
        ("{file: in/, then: warn}", "expected one of fail, skip"),
        ("{webhook: 'a secret of twenty four'}", "cannot wait for a webhook"),
        ("{source: shop.orders}", "wait for it with freshness (on_stale: wait)"),
        ("{all: [{sql: select 1}, {file: in/}]}", "make it another step"),
        ("{all: [{file: in/}], every: 1m}", "every belongs to a condition; move it into all"),
        ("in/", 'is "in/"; expected'),
        ("{pipeline: stagin}", 'names pipeline "stagin", which there is not'),
    ],
)
def test_what_a_step_cannot_wait_for_is_told_with_its_line(tmp_path, waits, why):
    with pytest.raises(ConfigError) as caught:
        step(tmp_path, waits)
    assert why in str(caught.value)
    assert str(caught.value).startswith("dbtorch.yml:4: ")
