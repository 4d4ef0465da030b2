"""dbtorch.yml: what it may say, and one sentence for everything else."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dbtorch.adapters.config import step_keys
from dbtorch.adapters.config.loading import load, step_of
from dbtorch.adapters.config.yaml_errors import meant
from dbtorch.core.config import Config, Origin
from dbtorch.core.errors import ConfigError
from dbtorch.core.schedule.schedule import Schedule
from dbtorch.core.settings import Settings

SAMPLE = Path(__file__).parents[2] / "sample_project"


def test_a_project_without_a_file_gets_the_defaults(tmp_path):
    assert load(tmp_path) == Config()


def test_the_yaml_ending_is_as_good(tmp_path):
    (tmp_path / "dbtorch.yaml").write_text("max_steps: 3")
    assert load(tmp_path).max_steps == 3


def test_a_step_with_everything(written):
    config = written(
        """\
        pools: {crm: 1}
        steps:

          load:
            command: [python, "{{ run.id }}.py"]
            produces: source:shop.orders
            after: [step:other, "tag:x"]
            when: "{{ env_var('URL', '') }}"
            params: {day: 2026-01-01, at: 12:30, n: 1.5, deep: [{x: null}]}
            env: {KEY: "1"}
            opens_database: true
            description: ""
            owner: data-eng
            runbook: docs/load.md
            retry: {retries: 4, delay: 5, max_delay: 1h30m}
            timeout: 10m
            pool: crm
            priority: -3
        """
    )
    step = config.steps["load"]
    assert (step.name, step.type, step.id) == ("load", "command", "step.load")
    assert step.action == ["python", "{{ run.id }}.py"]
    assert (step.produces, step.after) == (("source:shop.orders",), ("step:other", "tag:x"))
    assert step.when == "{{ env_var('URL', '') }}"
    # Dates and times stay as written, because JSON has none.
    assert step.params == {"day": "2026-01-01", "at": "12:30", "n": 1.5, "deep": [{"x": None}]}
    assert step.env == {"KEY": "1"}
    assert step.opens_database is True
    assert step.origin == Origin(file="dbtorch.yml", line=4)
    assert step.settings == Settings(
        retries=4,
        retry_delay=5.0,
        retry_max_delay=5400.0,
        timeout=600.0,
        pool="crm",
        priority=-3,
        owner="data-eng",
        runbook="docs/load.md",
    )


def test_pipelines(written):
    pipelines = written(
        """\
        pipelines:
          default: {select: "tag:a", exclude: [x, y], target: prod}
          short: {selector: nightly, schedule: "0  6 * * *"}
          long: {schedule: {cron: "@daily", timezone: Europe/Berlin}}
          bare:
        """
    ).pipelines
    assert (pipelines["default"].select, pipelines["default"].exclude) == (("tag:a",), ("x", "y"))
    assert pipelines["short"].schedule == Schedule(crons=("0 6 * * *",), timezone="UTC")
    assert pipelines["long"].schedule == Schedule(crons=("@daily",), timezone="Europe/Berlin")
    assert pipelines["bare"].origin.line == 5


def test_sections_whose_keys_are_all_comments_are_empty(written):
    config = written("engine:\ndefaults:\npools:\nsteps:\n#  x: 1\npipelines:\n")
    assert config == Config(origin=Origin(file="dbtorch.yml"))


def test_what_is_needed_before_the_run_takes_environment_variables(written):
    config = written(
        """\
        engine:
          python: '{{ env_var("VENV") }}/bin/{{ env_var("EXE", "python3") }}'
        database_url: "{{env_var( 'URL' , '' )}}x"
        """,
        VENV="/venv",
    )
    assert (config.engine.python, config.database_url) == ("/venv/bin/python3", "x")


def test_everything_else_stays_a_template(written):
    steps = written("steps: {a: {sql: 'select {{ env_var(\"NO\") }}'}}").steps
    assert steps["a"].action == 'select {{ env_var("NO") }}'


def test_anchors_and_merges(written):
    steps = written(
        """\
        steps:
          a: &a {python: "m:f", retries: 1, owner: me}
          b: {<<: *a, retries: 2}
        """
    ).steps
    assert steps["b"].settings == Settings(retries=2, owner="me")
    assert steps["b"].origin.line == 3


def test_the_sample_project_is_right_also_with_its_alerts_switched_on(written):
    assert load(SAMPLE).steps
    text = (SAMPLE / "dbtorch.yml").read_text()
    _, switch, alerts = text.partition("\n# alerts:")
    assert "slack" in written(f"{switch}{alerts}".replace("\n# ", "\n")).alerts.notifiers


WRONG = [
    # Unknown keys, near and far.
    ("step: {}", '1: unknown key "step" at the top level; did you mean "steps"?'),
    ("\nsteps: {a: {python: 'm:f',\n retires: 1}}", '3: unknown key "retires" in steps.a; did you mean "retries"?'),
    ("engine: {Profiles-Dir: x}", '1: unknown key "Profiles-Dir" in engine; did you mean "profiles_dir"?'),
    ("defaults: {retry: {max: 1}}", '1: unknown key "max" in defaults.retry; did you mean "max_delay"?'),
    ("engine: {zzz: x}", '1: unknown key "zzz" in engine; keys here are type, python, executable, profiles_dir'),
    # A misspelt type is not also a missing one.
    ("steps: {a: {pyton: 'm:f'}}", '1: unknown key "pyton" in steps.a; did you mean "python"?'),
    # Keys of an http step and of what it polls.
    ("steps: {a: {http: {url: x, metod: GET}}}", '1: unknown key "metod" in steps.a.http; did you mean "method"?'),
    ("steps: {a: {http: {url: x, poll: {untl: x}}}}", '1: unknown key "untl" in steps.a.http.poll; did you mean "until"?'),
    # YAML 1.1 reads `on` as true; as a key it is the word.
    ("on: 1", '1: unknown key "on" at the top level; keys here are'),
    # Wrong types.
    ("- a", "1: the file is a list; expected a mapping with the keys version,"),
    ("just text", '1: the file is "just text"; expected a mapping'),
    ("steps: [a]", "1: steps is a list; expected a mapping of names to mapping"),
    ("steps: {a: 3}", "1: steps.a is 3; expected a mapping with the keys python,"),
    ("max_steps: true", "1: max_steps is true; expected a whole number"),
    ("max_steps: 1.5", "1: max_steps is 1.5; expected a whole number"),
    ("max_steps:", "1: max_steps has no value; expected whole number, or remove the key"),
    ("engine: {python: 3.11}", "1: engine.python is 3.11; expected text, so put it in quotes"),
    ("ui: {url: dbt.acme.com}", "1: ui.url is no address of the web; write it with https://"),
    ("engine: {python: ' '}", '1: engine.python is " "; expected some text'),
    ("steps: {a: {command: x, env: {A: 1}}}", "1: steps.a.env.A is 1; expected text, so put it in quotes"),
    ("steps: {a: {command: x,\n after: [b,\n 3]}}", "3: steps.a.after[1] is 3; expected text, so put it in quotes"),
    ("steps: {a: {command: x, after: {b: c}}}", "1: steps.a.after is a mapping; expected text"),
    ("steps: {a: {command: x, params: [1]}}", "1: steps.a.params is a list; expected a mapping of names"),
    ("steps: {a: {command: x, opens_database: 1}}", "1: steps.a.opens_database is 1; expected true or false"),
    # Wrong values.
    ("version: 2", "1: version is 2; expected 1, the only version there is"),
    ("version: '1'", '1: version is "1"; expected 1, the only version there is'),
    ("max_steps: 0", "1: max_steps is 0; expected a whole number from 1 to"),
    ("defaults: {retries: -1}", "1: defaults.retries is -1; expected a whole number from 0 to"),
    ("steps: {a: {command: x, retries: often}}", '1: steps.a.retries is "often"; expected a whole number'),
    ("defaults: {timeout: soon}", '1: defaults.timeout is "soon"; a duration is a number of seconds, or text such as'),
    ("defaults: {timeout: 1:30}", '1: defaults.timeout is "1:30"; a duration is'),
    ("defaults: {timeout: 0}", "1: defaults.timeout is 0; expected more than 0 seconds"),
    ("defaults: {retry_delay: -1}", "1: defaults.retry_delay is -1; a duration is between 0 and 3660d"),
    ("defaults: {retry_delay: .inf}", "1: defaults.retry_delay is Infinity; a duration is"),
    ("defaults: {timeout: 9999d}", '1: defaults.timeout is "9999d"; a duration is between 0 and 3660d'),
    ("steps: {a: {command: x, params: {n: .nan}}}", "1: steps.a.params.n holds a number that JSON cannot express"),
    ('steps: {a: {command: x, env: {A: "\\0"}}}', "1: steps.a.env.A holds a NUL character"),
    ("step_modules: [a b]", '1: step_modules[0] is "a b"; expected the name of a Python module'),
    # Names end up in files, in selections and in messages.
    ("steps: {../x: {command: x}}", '1: "../x" in steps is no name; use letters,'),
    ("pipelines: {'': {}}", '1: "" in pipelines is no name; use letters,'),
    # Retries said in both ways.
    ("defaults: {retries: 1, retry: {retries: 2}}", "1: defaults.retries says the same as retry.retries; keep one"),
    # A step does one thing.
    ("steps: {a: }", "1: steps.a does not say what to do; give it one of python, command, sql, http"),
    ("steps: {a: {owner: me}}", "1: steps.a does not say what to do;"),
    ("steps: {a: {python: 'm:f', sql: x}}", "1: steps.a has python and sql; keep one, or make a step of each"),
    ("steps: {a: {sql: x, params: {n: 1}}}", "1: steps.a.params has no effect on a sql step, which dbt renders: use var()"),
    ("steps: {a: {sql: x, queue: crm}}", "1: steps.a.queue has no effect on a sql step, which needs no worker"),
    ("steps: {a: {wait_for: {file: x, for: 1h}, queue: crm}}", "1: steps.a.queue has no effect on a wait_for step, which needs no worker"),
    ("steps: {a: {command: x, queue: a b}}", "1: steps.a.queue is no name of a queue: take letters, digits and _ . -"),
    ("steps: {a: {sql: x, env: {N: y}}}", "1: steps.a.env has no effect on a sql step"),
    # The type of the step looks at what it is to do.
    ("steps: {a: {python: load}}", '1: step a: python must be "module:function"'),
    ("steps: {a: {command: []}}", "1: step a: command must be text or a list"),
    ("steps: {a: {sql: }}", "1: steps.a.sql has no value; expected text"),
    ("steps: {a: {http: https://x}}", '1: steps.a.http is "https://x"; expected a mapping with the keys url,'),
    ("steps: {a: {http: {method: GET}}}", "1: step a: http must be a mapping with at least a url"),
    # Pools.
    ("pools: {a: 0}", "1: pools.a is 0; expected a whole number from 1"),
    ("engine: {batches: 0}", "1: engine.batches is 0; expected a whole number from 1 to 64"),
    ("engine: {batches: all}", '1: engine.batches is "all"; expected a whole number'),
    ("pools: {batches: 4}", "1: pools.batches is a pool of dbtorch's own; its size is engine.batches"),
    ("pools: {threads: 4}", "1: pools.threads is a pool of dbtorch's own; its size is dbt's --threads"),
    ("pools: {heavy: 1}\ndefaults: {pool: hevy}", '2: defaults.pool names the pool "hevy", which is not defined; did you mean "heavy"?'),
    ("steps: {a: {command: x, pool: crm}}", '1: steps.a.pool names the pool "crm", which is not defined; define it'),
    # Pipelines.
    ("pipelines: {a: {schedule: 0 25 * * *}}", '1: pipelines.a.schedule is "0 25 * * *"; hour 25 is none, 0 to 23 are; expected five cron fields'),
    ("pipelines: {a: {schedule: 0 6 * * mons}}", '1: pipelines.a.schedule is "0 6 * * mons"; the weekday "mons" means nothing;'),
    ("pipelines: {a: {schedule: '*/0 * * * *'}}", '1: pipelines.a.schedule is "*/0 * * * *"; the minute "*/0" means nothing;'),
    ("pipelines: {a: {schedule: {cron: 0 0 31 2 *}}}", '1: pipelines.a.schedule.cron is "0 0 31 2 *"; that day never comes;'),
    ("pipelines: {a: {schedule: 0 0 * * * *}}", '1: pipelines.a.schedule is "0 0 * * * *"; expected five cron fields'),
    ("pipelines: {a: {schedule: H 6 * * *}}", '1: pipelines.a.schedule is "H 6 * * *"; expected five cron fields'),
    ("pipelines: {a: {schedule: }}", "1: pipelines.a.schedule has no cron"),
    ("pipelines: {a: {schedule: {timezone: UTC}}}", "1: pipelines.a.schedule has no cron"),
    ("pipelines: {a: {schedule: {cron: '@daily', timezone: Europe/Berln}}}", '1: pipelines.a.schedule.timezone is "Europe/Berln"; there is no such time zone; did you mean "Europe/Berlin"?'),
    ("pipelines: {a: {schedule: {cron: '@daily', timezone: America}}}", '1: pipelines.a.schedule.timezone is "America"; there is no such time zone;'),
    ("pipelines: {a: {production: true}}", "1: pipelines.a.production needs target: a run on another target than production's publishes nothing"),
    ("pipelines: {a: {selector: x, select: y}}", "1: pipelines.a.selector replaces select; keep one way to choose"),
    # Templates that are needed before the run.
    ("database_url: \"{{ env_var('NOPE') }}\"", "1: database_url needs the environment variable 'NOPE', which is not set;"),
    ("database_url: \"{{ var('x') }}\"", "1: database_url may hold no template but {{ env_var('NAME') }}"),
    # What is no YAML, or no data.
    ("", "1: is empty; write `version: 1` or remove the file"),
    ("# nothing", "1: is empty;"),
    ("a: [1\nb", "2: is not valid YAML: a [ is never closed, or a comma is missing (begun in line 1)"),
    ("a: b: c", '1: is not valid YAML: a ": " stands where none can be; put the text in quotes'),
    ("steps:\n\ta: 1", "2: is indented with a tab; YAML wants spaces"),
    ("a: 'b", "1: is not valid YAML: a quote is never closed"),
    ("a: @b", "1: is not valid YAML: a text begins with a character that YAML keeps for itself; put it in quotes"),
    ('a: "\\q"', "1: is not valid YAML: double quotes hold a \\ that means nothing; use single quotes"),
    ("a: *b", "1: is not valid YAML: an alias (*name) has no anchor (&name) before it"),
    ("max_steps: 1\nmax_steps: 2", "2: max_steps is there twice; the first is in line 1"),
    ("database_url: {{ env_var('X') }}", '1: database_url has a key that is no text; put quotes around "{{ ... }}"'),
    ("version: 1\n---\nversion: 1", "2: begins a second YAML document; keep one in a file"),
    ("version: !!python/name:os.system 1", '1: version has the tag "tag:yaml.org,2002:python/name:os.system", which means'),
    ("version: !!int x", '1: version is "x", which is no int'),
    ("steps: {<<: 3}", "1: steps merges something with << that is no mapping"),
    ("a\x07: 1", "1: holds the control character U+0007; remove it"),
    ("x: &x [*x]", "1: alias *x stands inside of what it repeats"),
    ("x: " + "[" * 200 + "]" * 200, "1: is nested more than 100 levels deep"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_what_is_wrong_is_said_in_one_sentence(refused, text, sentence):
    problems = refused(text)
    assert any(problem.startswith(f"dbtorch.yml:{sentence}") for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def test_all_problems_are_told_at_once_in_their_order(refused):
    problems = refused("max_steps: x\nsteps:\n  b: {}\n  a: {command: x, retires: 1}\nengin: {}\n")
    assert [problem.split(" ")[0] for problem in problems] == [
        f"dbtorch.yml:{line}:" for line in (1, 3, 4, 5)
    ]


def test_aliases_that_stand_for_billions_are_refused_quickly(refused):
    bomb = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    bomb += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    problem = "dbtorch.yml:5: comes to more than 100,000 values with aliases expanded"
    assert refused("\n".join(bomb)) == [problem]


def test_files_that_are_no_text_of_ours(tmp_path):
    table = [
        # Bytes, sentence.
        (b"a: \xff", "dbtorch.yml:1: is not UTF-8 (byte 0xff); save it as UTF-8"),
        ("a: 1".encode("utf-16"), "dbtorch.yml:1: is not UTF-8"),
        (b"#" * 1_000_001, "dbtorch.yml: is larger than 1,000,000 bytes"),
    ]
    for content, sentence in table:
        (tmp_path / "dbtorch.yml").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load(tmp_path)
        assert str(caught.value).startswith(sentence)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    (tmp_path / "dbtorch.yml").write_bytes("\ufeffversion: 1\r\nmax_steps: 2\r\n".encode())
    assert load(tmp_path).max_steps == 2


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "dbtorch.yml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "dbtorch.yaml").touch()
    with pytest.raises(ConfigError, match="; keep one of them"):
        load(tmp_path)


def test_a_step_declared_in_python_has_the_same_keys():
    origin = Origin(file="steps.py", line=7)
    said = {"python": "steps:load", "retries": 2, "timeout": "1m", "produces": "source:a.b"}
    spec = step_of("load", said, origin)
    assert (spec.type, spec.action, spec.origin) == ("python", "steps:load", origin)
    assert spec.settings == Settings(retries=2, timeout=60.0)
    with pytest.raises(ConfigError) as caught:
        step_of("load", {"python": "steps:load", "retires": 2, "pool": "x"}, origin, pools=["y"])
    assert caught.value.problems == (
        'steps.py:7: unknown key "retires" in step load; did you mean "retries"?',
        'steps.py:7: pool of step load names the pool "x", which is not defined; '
        "define it, such as `pools: {name: 4}` in dbtorch.yml",
    )


@pytest.fixture
def installed_type(tmp_path, monkeypatch):
    """A package that adds the step type ``spark``."""
    site = tmp_path / "site"
    (site / "spark-1.0.dist-info").mkdir(parents=True)
    (site / "spark-1.0.dist-info" / "METADATA").write_text("Name: spark\nVersion: 1.0\n")
    points = "[dbtorch.steps]\nspark = spark_of_a_test\n"
    (site / "spark-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "spark_of_a_test.py").write_text(
        "def check(action):\n    pass\ndef command(action, call):\n    pass\n"
    )
    monkeypatch.syspath_prepend(site)
    step_keys._installed.cache_clear()
    yield
    step_keys._installed.cache_clear()


@pytest.mark.usefixtures("installed_type")
def test_packages_add_step_types(written, refused):
    spec = written("steps: {a: {spark: {job: x.py}, retries: 1}}").steps["a"]
    assert (spec.type, spec.action) == ("spark", {"job": "x.py"})
    assert refused("steps: {a: {sparc: x}}") == [
        'dbtorch.yml:1: unknown key "sparc" in steps.a; did you mean "spark"?'
    ]
    assert refused("steps: {a: {spark: x, sql: y}}") == [
        "dbtorch.yml:1: steps.a has spark and sql; keep one, or make a step of each"
    ]


def test_a_value_that_is_no_data_is_told_once(refused):
    assert refused("max_steps: !!int x") == ['dbtorch.yml:1: max_steps is "x", which is no int']


def test_importing_and_reading_stays_light():
    heavy = "{'jinja2', 'croniter', 'msgspec', 'dbt', 'importlib.metadata'}"
    code = f"import sys, dbtorch.adapters.config; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_a_project_says_nothing_of_is_not_imported(tmp_path):
    named = {
        "dbtorch.core.checks.relation_checks": "checks: {models: {orders: {row_count: 1}}}",
        "dbtorch.core.alerts.routing": "alerts: {webhook: {url: https://ops.example/in}}",
    }
    code = f"""
import sys
from pathlib import Path
import dbtorch.adapters.dbt.process.engine, dbtorch.adapters.dbt.session.engine
import dbtorch.service.run.execution
from dbtorch.adapters.config.loading import load
load(Path({str(tmp_path)!r}))
print(*sorted({{*{[*named]!r}, "dbtorch.core.alerts.incidents", "difflib"}} & set(sys.modules)))
"""

    def imported(said):
        tmp_path.joinpath("dbtorch.yml").write_text(f"version: 1\nmax_steps: 2\n{said}\n")
        words = [sys.executable, "-c", code]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    assert imported("") == []
    assert imported(named["dbtorch.core.checks.relation_checks"]) == [
        "dbtorch.core.checks.relation_checks"
    ]
    assert imported(named["dbtorch.core.alerts.routing"]) == [
        "dbtorch.core.alerts.incidents",
        "dbtorch.core.alerts.routing",
    ]


@pytest.mark.parametrize("loader", [yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b: c", "stands where none can be"),
        ("a: 'b", "a quote is never closed"),
        ("a: [1", "a [ is never closed"),
        ("a: {b: 1", "a { is never closed"),
        ("a: @b", "put it in quotes"),
        ("a: 1\n  b: 2", "stands where none can be"),
        ("a:\n  b: 1\n c: 2", "indented otherwise"),
        ("a: b\nc\nd: e", "a line is no `key: value`"),
        ("a: *b", "has no anchor"),
        ("a: - b", 'a "- " stands where no list can begin'),
        ('a: "\\q"', "use single quotes"),
    ],
)
def test_both_parsers_mean_the_same(loader, text, said):
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.load(text, Loader=loader)
    assert said in meant(caught.value)
