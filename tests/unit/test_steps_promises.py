"""What steps name that is not there is found before they run, and without running their code."""

import sys

import pytest

from dbtorch.adapters.steps.promises import broken_promises
from dbtorch.core.config import Config, Origin, StepSpec

FILES = {
    "ingestion/__init__.py": "raise SystemExit('nobody is to import this')",
    "ingestion/events.py": """
import os
from elsewhere import taken

class Feed:
    pass

if os.name == "posix":
    def load(): ...
else:
    load = print
""",
    "wild.py": "from os.path import *\n",
    "lazy.py": "def __getattr__(name): ...\n",
    "push.sh": "true",
}


@pytest.fixture
def broken(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def answer(type, action, **fields):
        spec = StepSpec(
            name="a", type=type, action=action, origin=Origin(file="dbtorch.yml", line=7), **fields
        )
        other = StepSpec(name="before", type="command", action="true")
        config = Config(steps={"a": spec, "before": other})
        found = broken_promises(config, python=sys.executable, project_dir=tmp_path)
        assert all(text.startswith("dbtorch.yml:7: step a: ") for text in found)
        return [text.removeprefix("dbtorch.yml:7: step a: ") for text in found]

    return answer


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("ingestion.events:load", ""),
        ("ingestion.events:Feed.load", ""),
        ("ingestion.events:taken", ""),
        ("wild:join", ""),  # nobody can tell without importing it
        ("lazy:whatever", ""),
        ("json:dumps", ""),
        ("sys:exit", ""),
        ("{{ env_var('JOB') }}", ""),
        (
            "ingestion.events:laod",
            "ingestion/events.py has no function 'laod'; did you mean \"load\"?",
        ),
        (
            "ingestion.evnts:load",
            "there is no module ingestion.evnts; it would be ingestion/evnts.py in the project",
        ),
        ("nowhere:load", "there is no module nowhere; it would be nowhere.py in the project"),
        (
            "wild.deeper:load",
            "there is no module wild.deeper; it would be wild/deeper.py in the project",
        ),
    ],
)
def test_functions(broken, function, sentence):
    assert broken("python", function) == ([sentence] if sentence else [])


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("./push.sh --all", ""),
        ("./psh.sh --all", "./psh.sh"),
        (["bash", "push.sh"], ""),
        (["bash", "psh.sh"], "psh.sh"),
        ("python3 scripts/load.py", "scripts/load.py"),
        ("python3 -m scripts.load", ""),
        ("cd scripts && python load.py", ""),  # only a shell can tell
        ("python {{ params.script }}", ""),
        ("dbt-loader orders.py", ""),  # may be anything to it
    ],
)
def test_scripts(broken, command, missing):
    found = broken("command", command, params={"script": "x.py"})
    said = f"there is no file {missing}; a command starts in the project's folder"
    assert found == ([said] if missing else [])


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{ run.id }} {{ run.logical_date.date() }} {{ target.schema }}", ""),
        ("{{ run.data_interval_start }} {{ run.previous_success_end }}", ""),
        ("{{ outputs.before.rows | default(0) }} {{ outputs.get('x') }}", ""),
        ("{% set run = {'idd': 1} %}{{ run.idd }}", ""),
        ("{{ run.idd }}", 'there is no run.idd; did you mean "id"?'),
        ("{{ run['logical'] }}", 'there is no run.logical; did you mean "logical_date"?'),
        (
            "{% if target.nam == 'prod' %}1{% endif %}",
            'there is no target.nam; did you mean "name"?',
        ),
        ("{{ outputs.befor.rows }}", 'there is no outputs.befor; did you mean "before"?'),
        ("{{ params.size }}", "there is no params.size (there is: nothing)"),
        ("{{ rum.id }}", "a template names 'rum'; did you mean \"run\"?"),
        ("{{ rum | default('') }} {{ rum is defined }}", ""),
    ],
)
def test_names_in_templates(broken, template, sentence):
    expected = [sentence] if sentence else []
    assert broken("command", f"echo {template}") == expected
    assert broken("http", {"url": "https://x.example", "headers": {"A": template}}) == expected
    assert broken("command", "true", when=template) == expected


def test_sql_knows_what_dbt_knows(broken):
    assert broken("sql", "select '{{ target.user }}', '{{ outputs.x }}'") == []
    assert broken("sql", "select '{{ run.idd }}'") == ['there is no run.idd; did you mean "id"?']
