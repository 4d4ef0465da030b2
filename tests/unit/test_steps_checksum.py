"""When a step is another one than it was."""

import pytest

from dbtorch.adapters.steps.checksum import checksum
from dbtorch.core.config import Origin, StepSpec
from dbtorch.core.settings import Settings


def step(type, action, **more):
    return StepSpec(name="load", type=type, action=action, **more)


@pytest.fixture
def project(tmp_path):
    for name in ("tasks/load.py", "tasks/__init__.py", "bin/prune.sh", "sql/push.sql", "rows.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "file", "counts"),
    [
        (step("python", "tasks.load:run"), "tasks/load.py", True),
        (step("python", "tasks:run"), "tasks/__init__.py", True),
        (step("python", "tasks.load:run"), "tasks/__init__.py", False),
        (step("command", "sh bin/prune.sh --all"), "bin/prune.sh", True),
        (step("sql", "sql/push.sql"), "sql/push.sql", True),
        # what a command reads or writes is data, and changes all the time
        (step("command", "wc rows.csv > out.txt"), "rows.csv", False),
        (step("http", {"url": "https://bi/refresh"}), "rows.csv", False),
        (step("command", 'echo "no end'), "rows.csv", False),
        (step("python", "installed.package:run"), "tasks/load.py", False),
    ],
)
def test_the_file_that_a_step_executes_counts(project, spec, file, counts):
    before = checksum(spec, project)
    assert checksum(spec, project) == before
    (project / file).write_text("something else")
    assert (checksum(spec, project) != before) == counts


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({"action": "echo 2"}, True),
        ({"params": {"rows": 5}}, True),
        ({"env": {"A": "b"}}, True),
        ({"when": "{{ var('x') }}"}, True),
        # how it is tried and who is told changes nothing about what it does
        ({"settings": Settings(retries=9, owner="Ann")}, False),
        ({"origin": Origin(file="dbtorch.yml", line=99)}, False),
        ({"description": "Loads."}, False),
        ({"after": ("step:other",)}, False),
    ],
)
def test_what_a_step_says_counts_as_far_as_it_is_executed(project, more, counts):
    before = checksum(step("command", "echo 1"), project)
    found = checksum(
        StepSpec(**{"name": "load", "type": "command", "action": "echo 1", **more}), project
    )
    assert (found != before) == counts
