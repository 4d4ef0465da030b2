"""The JSON Schema that `dbtorch schema` prints says of a file what the loader says of it."""

import json
import tempfile
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from dbtorch.adapters.config.document import parse
from dbtorch.adapters.config.loading import load
from dbtorch.adapters.config.meta import settings_of
from dbtorch.adapters.config.schema import ROOT
from dbtorch.adapters.config.sections import SECTIONS
from dbtorch.adapters.config.setting_keys import META
from dbtorch.cli.main import cli
from dbtorch.core.errors import ConfigError
from dbtorch.service.lint.schema import meta_schema, schema
from tests.language_server import editor
from tests.pages import ROOT as REPOSITORY
from tests.pages import every

WHOLE = jsonschema.Draft7Validator(schema())
OF_DBT = jsonschema.Draft7Validator(meta_schema())

#: What the loader knows besides the form: what names mean, calendars, grammars, and files.
BEYOND_FORM = (
    "which is not defined",
    "which there is not",
    "of the notifier",
    "there is no such file",
    "there is no such time zone",
    "expected a date",
    "expected a window",
    "expected five cron fields",
    "is read in two ways",
    "expected some text",
    "NUL character",
    "JSON cannot express",
    "expected more than 0 seconds",
    "a duration is between",
    "there is no such time of day",
    "no regular expression for this",
    "number or name of an error",
    "expected five characters",  # of a number that YAML has made of it
    "expected a whole number",  # 4.0 is one to JSON
    "above its max",
    "a share of the rows",  # 900%
    "stands beside",
    "condition twice",
    "has an empty",
    "has no cron",  # an empty list of them
    "has a webhook together",
    "has max_age, which is for wait_for",
    "cannot wait for",
    "has sql beside",
    "starts a ring",
    "expected <source>.<table>",
    "expected a file",
    "expected an asset",
    "is shorter than a second",
    "two runs of one pipeline",
    "is not after start_date",
    "must be whole minutes",
    "has no effect beside a default",
    "belongs to a condition",
    "environment variable",
    "step ",  # what the type of a step says of it
    "is wrong: ",  # and a request
)


def accepted_by_loader(data):
    """What the loader says of a file with these data; nothing where it takes it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "dbtorch.yml").write_text(yaml.safe_dump(data, allow_unicode=True))
        try:
            load(Path(folder))
        except ConfigError as error:
            return error.problems
    return ()


def as_read(data):
    return parse(yaml.safe_dump(data, allow_unicode=True), "").data


def wrong(validator, data):
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data)]


def example_of(key):
    return parse(f"it: {key.example}", "").data["it"]


def examples(section):
    return {key.name: example_of(key) for key in section.keys if key.example}


def test_both_are_schemas_of_draft_7():
    for printed in (schema(), meta_schema()):
        jsonschema.Draft7Validator.check_schema(printed)
        json.dumps(printed, allow_nan=False)


@pytest.mark.parametrize(("words", "made"), [((), schema), (("--meta",), meta_schema)])
def test_the_command_prints_it(words, made):
    done = CliRunner().invoke(cli, ["schema", *words], standalone_mode=False)
    assert json.loads(done.output) == made()


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_key_is_described_and_its_example_fits(section):
    known = {**schema()["definitions"], **meta_schema()["definitions"]}
    titles = ["".join(c for c in section.title if c.isalnum()), section.title]
    (found,) = [
        part for name, part in known.items() if "".join(c for c in name if c.isalnum()) in titles
    ]
    for key in section.keys:
        said = found["properties"][key.name]
        assert said["description"]
        for example in said.get("examples", ()):
            resolved = {**said, "definitions": known}
            assert wrong(jsonschema.Draft7Validator(resolved), example) == [], key.name


def files():
    known = {key.name for key in ROOT.keys}
    for block in every("yaml"):
        data = parse(block.text, "").data
        if isinstance(data, dict) and data.keys() <= known:
            yield pytest.param(data, id=str(block))
    sample = REPOSITORY / "sample_project" / "dbtorch.yml"
    yield pytest.param(parse(sample.read_text(), "").data, id="sample_project")


@pytest.mark.parametrize("data", [*files()])
def test_what_pages_and_the_sample_write_fits(data):
    assert wrong(WHOLE, data) == []


#: Files that hold every key of the sections that nest.
BASES = [
    {name: value} for name, value in examples(ROOT).items() if name not in ("steps", "pipelines")
]
BY_TITLE = {section.title: section for section in SECTIONS}
BASES += [
    {"failure_classes": [examples(BY_TITLE["failure_classes"])]},
    {"defaults": {"retry": examples(BY_TITLE["retry"])}},
    {"alerts": {"webhook": examples(BY_TITLE["alerts.webhook"])}},
    {"alerts": {"email": examples(BY_TITLE["alerts.email"]), "owners": {"a": {"slack": "#a"}}}},
    {"alerts": {"slack": {"webhook_url": "https://hooks.example"}, "rules": [{}]}},
    {"checks": {"models": {"m": examples(BY_TITLE["checks of a relation"])}}},
    {"checks": {"sources": {"a.*": {"freshness": False, "schema": True}}}},
    {"freshness": {"sources": {"a.b": examples(BY_TITLE["freshness.sources.<name>"])}}},
]
_SHARED = {
    name: value
    for name, value in examples(BY_TITLE["defaults"]).items()
    if name not in ("retry", "pool")
}
for _type in ("python", "command", "http", "dbt_cloud", "wait_for"):
    _keys = examples(BY_TITLE["steps.<name>"])
    _own = {name: value for name, value in _keys.items() if name in ("params", "env", "ci", "when")}
    BASES.append({"steps": {"a": {_type: _keys[_type], **_own, **_SHARED}}})
BASES += [
    {"steps": {"a": {"sql": "select 1", "produces": "source:a.b"}}},
    {"steps": {"a": {"wait_for": {"any": [{"file": "in/"}, {"pipeline": "default"}]}}}},
    {"steps": {"a": {"http": {"url": "http://x", "poll": examples(BY_TITLE["http.poll"])}}}},
    {"steps": {"a": {"dbt_cloud": examples(BY_TITLE["dbt_cloud"])}}},
    {"pipelines": {"a": {"on": {"webhook": {"secret": "x" * 16, "rate": 4}}}}},
    {"pipelines": {"a": {"on": {"file": "in/*", "stable": "1m", "debounce": "1m"}}}},
    {"pipelines": {"a": {"production": True, "target": "prod", "select": ["tag:a"]}}},
    {"pipelines": {"a": {"selector": "nightly", "schedule": {"every": "1h"}}}},
    {"pipelines": {"a": {"partition": {"by": "day", "start": "2026-01-01"}, "params": {"c": 1}}}},
]


@pytest.mark.parametrize("data", BASES, ids=str)
def test_the_bases_are_right(data):
    assert accepted_by_loader(data) == ()
    assert wrong(WHOLE, as_read(data)) == []


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**7)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab1.- \n%:{", max_size=5)
    | st.sampled_from(
        [[], {}, [[]], [1], ["a"], {"a": 1}, {"": None}, "30s", "0s", "UTC", "5%", "skip", "m:f"]
        + [example_of(key) for section in SECTIONS for key in section.keys if key.example]
    )
).map(deepcopy)
NAMES = sorted({key.name for section in SECTIONS for key in section.keys})
KEYS = st.sampled_from([*NAMES, "retires", "x y", "1", ""])


def paths(data, at=()):
    yield at
    parts = data.items() if isinstance(data, dict) else enumerate(data) if _listed(data) else ()
    for name, part in parts:
        yield from paths(part, (*at, name))


def _listed(data):
    return isinstance(data, list)


@st.composite
def changed(draw, bases):
    """A right file with one or two things other than they were."""
    data = deepcopy(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(list(paths(data))))
        if not at:
            data[draw(KEYS)] = draw(LEAVES)
            continue
        holder = data
        for part in at[:-1]:
            holder = holder[part]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[at[-1]] = draw(LEAVES)
            case "remove":
                del holder[at[-1]]
            case "add" if isinstance(holder[at[-1]], dict):
                holder[at[-1]][draw(KEYS)] = draw(LEAVES)
    return data


def agree(said, found, data):
    """The two judge alike, except of what is no matter of form."""
    if not said:
        assert found == [], data
    elif not found:
        form = [one for one in said if not any(beyond in one for beyond in BEYOND_FORM)]
        assert form == [], data


@given(changed(BASES))
@settings(deadline=None, max_examples=250)
def test_the_schema_refuses_what_the_loader_refuses_and_nothing_else(data):
    agree(accepted_by_loader(data), wrong(WHOLE, as_read(data)), data)


META_BASES = [
    {key.name: example_of(key)} for key in META.keys if key.example and key.name != "pool"
]


def accepted_as_meta(value):
    try:
        meta = {"dbtorch": value}
        settings_of(meta, node="model.a.b", file="a.yml", project_dir=Path("nowhere"))
    except ConfigError as error:
        return error.problems
    return ()


@given(changed(META_BASES))
@settings(deadline=None)
def test_the_same_holds_for_meta(value):
    for said in ({"config": {"meta": {"dbtorch": value}}}, {"meta": {"dbtorch": value}}):
        for held in ({"models": [said]}, {"sources": [{"name": "a", "tables": [said]}]}):
            agree(accepted_as_meta(value), wrong(OF_DBT, held), value)
    project = {"models": {"shop": {"marts": {"+meta": {"dbtorch": value}}}}}
    agree(accepted_as_meta(value), wrong(OF_DBT, project), value)


def test_files_of_dbt_fit():
    paths = [
        path
        for folder in (REPOSITORY / "sample_project", REPOSITORY / "tests" / "projects")
        for path in folder.rglob("*.yml")
    ]
    assert len(paths) > 5
    for path in paths:
        assert wrong(OF_DBT, yaml.safe_load(path.read_text())) == [], path


RIGHT = """\
# yaml-language-server: $schema=dbtorch.schema.json
version: 1
defaults: {retry: {on: {transient: 5}, delay: 30s}}
steps:
  load: {python: "ingestion:load", produces: source:shop.orders, retries: 3}
pipelines:
  daily: {schedule: 0 6 * * *, deadline: "08:00", on: {file: in/*.csv}}
"""
WRONG = """\
# yaml-language-server: $schema=dbtorch.schema.json
steps:
  load:
    python: ingestion:load
    retires: 3
    timeout: soon
pipelines:
  daily: {schedule: {timezone: UTC}}
"""
META_OF_A_MODEL = """\
# yaml-language-server: $schema=meta.schema.json
models:
  - name: orders
    config:
      meta:
        dbtorch:
          retry: {on: {transient: 5}}
          owner: 5
"""


def test_an_editor_underlines_what_is_wrong(tmp_path):
    for name, text in (
        ("dbtorch.schema.json", json.dumps(schema())),
        ("meta.schema.json", json.dumps(meta_schema())),
        ("dbtorch.yml", RIGHT),
        ("wrong.yml", WRONG),
        ("schema.yml", META_OF_A_MODEL),
    ):
        (tmp_path / name).write_text(text)
    with editor(tmp_path) as opened:
        assert opened.underlined("dbtorch.yml") == []
        assert sorted(line for line, _ in opened.underlined("wrong.yml")) == [5, 6, 8]
        assert [line for line, _ in opened.underlined("schema.yml")] == [8]
