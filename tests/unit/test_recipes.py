"""Recipes of the pages for other systems, read by what these systems are checked with."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import botocore.loaders
import botocore.model
import botocore.validate
import pytest
import yaml
from croniter import croniter

from tests.pages import ROOT, Block, blocks, every
from tests.unit.test_pages import missing

PAGE = "docs/production.md"
BIN = Path(sys.executable).parent
FILES = every("yaml")
WORKFLOWS = [block for block in FILES if block.text.startswith("# .github/workflows/")]
MANIFESTS = [block for block in FILES if re.search(r"^apiVersion: ", block.text, re.MULTILINE)]
SHELL = blocks(PAGE, "sh")

#: A line of a crontab: five fields, and what they start.
CRON = re.compile(r"^((?:[\d*/,-]+\s+){4}[\d*/,-]+)\s+(\S.*)$", re.MULTILINE)

#: How a line in a shell, or a container, comes to dbtorch.
STARTS = re.compile(r"\bdbtorch (?=run |retry|status |serve)|analytics:\S+ (?=run )")


def ok(*words: str | Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def matches(schema: str, path: Path) -> None:
    ok(BIN / "check-jsonschema", "--builtin-schema", schema, path)


@pytest.mark.parametrize("block", WORKFLOWS, ids=str)
def test_github_reads_the_workflow(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "workflow.yml"
    path.write_text(block.text)
    matches("vendor.github-workflows", path)
    on = yaml.safe_load(block.text)[True]  # YAML 1.1 takes the word for a truth
    for one in on.get("schedule", ()) if isinstance(on, dict) else ():
        assert croniter.is_valid(one["cron"])


def test_there_is_one_that_is_scheduled() -> None:
    assert [block for block in WORKFLOWS if block.page == PAGE and "schedule:" in block.text]


def test_compose_reads_its_file() -> None:
    matches("vendor.compose-spec", ROOT / "deploy" / "docker-compose.yml")


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_kubernetes_reads_the_page(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text(block.text)
    ok(BIN / "kubernetes-validate", "--strict", path)


def test_ecs_takes_the_task() -> None:
    """As AWS's own client checks it, and two rules that only the service knows."""
    (block,) = blocks(PAGE, "json")
    task = json.loads(block.text)
    described = botocore.loaders.Loader().load_service_model("ecs", "service-2")
    service = botocore.model.ServiceModel(described, "ecs")
    shape = service.operation_model("RegisterTaskDefinition").input_shape
    report = botocore.validate.ParamValidator().validate(task, shape)
    assert not report.has_errors(), report.generate_report()
    (container,) = task["containerDefinitions"]
    known = set(shape.members["containerDefinitions"].member.members)
    assert container.keys() <= known
    assert task.keys() <= set(shape.members)
    assert container["secrets"]
    assert task["executionRoleArn"]  # without it secrets are refused
    assert 0 < container["stopTimeout"] <= 120  # on Fargate
    (mount,) = container["mountPoints"]
    # only a volume that the image names has the rights that the image's folder has
    volumes = f"VOLUME {json.dumps([mount['containerPath']])}"
    assert volumes in (ROOT / "deploy" / "Dockerfile").read_text()
    assert not missing(container["command"])


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_reads_the_block_and_dbtorch_its_commands(block: Block) -> None:
    crons = [match for match in CRON.finditer(block.text) if "*" in match[1]]
    for cron in crons:
        assert croniter.is_valid(cron[1]), cron[0]
    text = CRON.sub(r"\2", block.text)
    ok("bash", "-n", "-c", text)
    for line in text.replace("\\\n", " ").splitlines():
        for start in STARTS.finditer(line):
            words = shlex.split(re.split(r"[>|;&']", line[start.end() :])[0], comments=True)
            assert not missing(words), line


def test_crons_and_the_job_of_cloud_run_are_among_them() -> None:
    said = "".join(block.text for block in SHELL)
    assert len(CRON.findall(said)) >= 2
    assert "exec dbtorch run" in said


def test_units_on_the_page_are_lines_of_the_files() -> None:
    files = "".join(path.read_text() for path in (ROOT / "deploy" / "systemd").iterdir())
    shown = [line for block in blocks(PAGE, "ini") for line in block.text.splitlines() if line]
    assert shown
    assert [line for line in shown if line not in files.splitlines()] == []
