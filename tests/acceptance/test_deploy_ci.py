"""Every line of `deploy/ci` that a CI system would execute, in the environment that it sets."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.test_ci import FILES, Repository, profiles, tables
from tests.acceptance.warehouses import Warehouse
from tests.acceptance.workspace import Workspace
from tests.forge_server import TOKEN, ForgeServer, forge_server
from tests.waiting import PATIENCE
from tests.zygote.shell import command_for_shells

DEPLOY = Path(__file__).parents[2] / "deploy" / "ci"

CHANGED = {"models/kpi.sql": "select count(*) + 1 as n from {{ ref('orders') }}"}


#: Lines of GitHub's files that say the same anywhere.
GITHUBS = {
    "pip install -r requirements.txt",
    "dbtorch ci --lint",
    "dbtorch ci --merge",
    "dbtorch run --pipeline daily",
}


class System:
    """A CI system that has a checkout, variables, and runs what its file says."""

    def __init__(self, workspace: Workspace, variables: Mapping[str, str]) -> None:
        self.workspace, self.variables = workspace, dict(variables)

    def shell(self, text: str, env: Mapping[str, str] = {}) -> str:
        """What a script prints; it must end well. A command of plain words needs no shell."""
        words = shlex.split(text)
        if words[0] == "dbtorch" and not set(text) & set("$|&;<>()`*?\n"):
            return self.workspace.dbtorch(*words[1:], env={**self.variables, **env}).out
        environ = self.workspace.environ({**self.variables, **env})
        with command_for_shells() as bin:
            done = subprocess.run(
                ["bash", "-eo", "pipefail", "-c", text],
                cwd=self.workspace.dir,
                env={**environ, "PATH": f"{bin}:{environ['PATH']}"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def once(self, line: str) -> None:
        """The same, but for what GitHub's files have executed, and what no system is asked for."""
        if line not in GITHUBS:
            self.shell(line)


class GitHub(System):
    """Runs the jobs of a workflow whose `if` holds."""

    def __init__(self, workspace: Workspace, variables: Mapping[str, str]) -> None:
        super().__init__(workspace, variables)
        self.ran: set[str] = set()
        self.cached: set[str] = set()  # paths that a job keeps for the next one

    def workflow(self, name: str, event: str, payload: Mapping[str, Any]) -> str:
        path = self.workspace.home / "event.json"
        path.write_text(json.dumps(payload))
        self.variables |= {"GITHUB_EVENT_NAME": event, "GITHUB_EVENT_PATH": str(path)}
        self.known = {"github.token": TOKEN, "github.event_name": event}
        if "number" in payload:
            self.known |= {"github.event.number": str(payload["number"]), "github.sha": "f00"}
        self.known["vars.DBTORCH_ARTIFACTS_URL"] = str(self.workspace.home / "kept")
        self.known["secrets.DBTORCH_DATABASE_URL"] = ""  # as of a secret that nobody has set
        said = yaml.safe_load((DEPLOY / "github" / f"{name}.yml").read_text())
        assert event in said[True]  # YAML 1.1 takes the word `on` for a truth
        env = self.filled(said.get("env", {}))
        jobs = [job for job in said["jobs"].values() if self.holds(job.get("if", ""))]
        assert jobs
        steps = [step for job in jobs for step in job["steps"]]
        out = "".join(self.step(step, env) for step in steps)
        self.ran |= {step["run"] for step in steps if "run" in step}
        return out

    def step(self, step: Mapping[str, Any], env: Mapping[str, str]) -> str:
        if step.get("uses", "").startswith("./.github/actions/"):
            return self.action(step, env)
        if step.get("uses", "").startswith("actions/cache@"):
            self.cached.add(self.text(step["with"]["path"]))
            key = self.text(step["with"]["key"])
            assert key.startswith(self.text(step["with"]["restore-keys"]))
        if "uses" in step or (step["run"].startswith("pip ") and step["run"] in self.ran):
            return ""
        return self.shell(self.text(step["run"]), {**env, **self.filled(step.get("env", {}))})

    def action(self, step: Mapping[str, Any], env: Mapping[str, str]) -> str:
        folder = DEPLOY / "github" / step["uses"].rpartition("/")[2]
        said = yaml.safe_load((folder / "action.yml").read_text())
        given = step.get("with", {})
        assert given.keys() <= said["inputs"].keys()
        for name, declared in said["inputs"].items():
            self.known[f"inputs.{name}"] = self.text(given.get(name, declared["default"]))
        out = "".join(self.step(one, env) for one in said["runs"]["steps"])
        written = Path(self.variables["GITHUB_OUTPUT"]).read_text()
        told = {line.partition("=")[0] for line in written.splitlines()}
        for name, declared in said["outputs"].items():
            assert declared["value"] == f"${{{{ steps.ci.outputs.{name} }}}}"
            assert name in told
        return out

    def holds(self, condition: str) -> bool:
        if not condition:
            return True
        name, _, value = condition.partition(" == ")
        return self.known[name] == value.strip("'")

    def filled(self, env: Mapping[str, str]) -> dict[str, str]:
        return {name: self.text(value) for name, value in env.items()}

    def text(self, said: str) -> str:
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: self.known[found[1]], str(said))


def schemas(warehouse: Warehouse) -> set[str]:
    return {schema for schema, _ in tables(warehouse)}


def of_github(workspace: Workspace, server: ForgeServer) -> GitHub:
    at = workspace.home
    return GitHub(
        workspace,
        {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": server.url,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_WORKSPACE": str(workspace.dir),
            "GITHUB_OUTPUT": str(at / "output"),
            "GITHUB_STEP_SUMMARY": str(at / "summary.md"),
        },
    )


def in_duckdb(workspace: Workspace) -> Warehouse:
    path = workspace.dir / "warehouse.duckdb"
    profile = {"type": "duckdb", "path": str(path), "schema": "main", "threads": 4}
    return Warehouse(workspace.query, profile)


def repository_of(workspace: Workspace, warehouse: Warehouse) -> Repository:
    text = profiles(warehouse)
    workspace.write({**FILES, "profiles.yml": text, "requirements.txt": "dbtorch\n"})
    repository = Repository(workspace)
    repository.commit()
    repository.git("update-ref", "refs/remotes/origin/main", "main")
    return repository


def test_workflows_of_github_do_what_they_are_for(workspace: Workspace) -> None:
    warehouse = in_duckdb(workspace)
    repository = repository_of(workspace, warehouse)
    with forge_server() as server:
        github = of_github(workspace, server)
        said = github.workflow("dbt-main", "schedule", {})
        assert "Run " in said

        # a pull request
        repository.branch(CHANGED)
        same = {"repo": {"full_name": "acme/shop"}}
        pull = {"number": 12, "pull_request": {"head": same, "base": same}}
        github.variables |= {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_BASE_REF": "main"}
        parsed = workspace.dir / "target" / "partial_parse.msgpack"
        parsed.unlink()
        said = github.workflow("dbt-pull-request", "pull_request", pull)
        (kept,) = github.cached
        assert parsed.samefile(workspace.dir / kept)
        assert "[untested]" in said  # of the lint
        assert re.search(r"It works: \d nodes? done in schema ci_pr_12\.", said)
        (comment,) = server.said()
        assert "It changes kpi." in comment
        assert "It changes kpi." in (workspace.home / "summary.md").read_text()

        # it is merged, and closed
        repository.git("checkout", "-q", "main")
        repository.git("merge", "-q", "--ff-only", "change")
        repository.git("update-ref", "refs/remotes/origin/main", "main")
        for name in ("GITHUB_REF", "GITHUB_BASE_REF"):
            github.variables.pop(name)
        before = workspace.query("select n from main.kpi")
        github.workflow("dbt-main", "push", {})
        assert workspace.query("select n from main.kpi") == [(before[0][0] + 1,)]
        assert "ci_pr_12" in schemas(warehouse)
        github.workflow("dbt-cleanup", "pull_request", pull)
        assert "ci_pr_12" not in schemas(warehouse)

        assert github.ran >= GITHUBS


def test_files_of_gitlab_bitbucket_and_pre_commit_do_what_they_are_for(
    workspace: Workspace,
) -> None:
    warehouse = in_duckdb(workspace)
    repository = repository_of(workspace, warehouse)
    kept = {"DBTORCH_ARTIFACTS_URL": str(workspace.home / "kept")}
    System(workspace, kept).shell("dbtorch run --pipeline daily")
    repository.branch({"models/kpi.sql": "select 0 as n"})
    with forge_server() as server:
        for system, script in (
            (System(workspace, {**kept, **gitlab(server)}), of_gitlab),
            (System(workspace, {**kept, **bitbucket(server)}), of_bitbucket),
        ):
            server.comments.clear()
            for line in script("change"):
                system.once(line)
            (comment,) = server.said()
            assert "It works: " in comment
            assert "ci_pr_7" in schemas(warehouse)
            server.pulls["7"] = "merged" if script is of_gitlab else "MERGED"
            for line in script("night"):
                system.once(line)
            assert "ci_pr_7" not in schemas(warehouse)
    (used,) = yaml.safe_load((DEPLOY / "pre-commit-config.yaml").read_text())["repos"]
    hooks = yaml.safe_load((DEPLOY.parents[1] / ".pre-commit-hooks.yaml").read_text())
    assert used["repo"].endswith("/dbtorch")
    assert [one["id"] for one in used["hooks"]] == [one["id"] for one in hooks]
    assert [one["entry"] for one in hooks] == ["dbtorch ci --lint"]


def gitlab(server: ForgeServer) -> dict[str, str]:
    return {
        "GITLAB_CI": "true",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_PROJECT_ID": "1",
        "CI_API_V4_URL": server.url,
        "GITLAB_TOKEN": TOKEN,
    }


def bitbucket(server: ForgeServer) -> dict[str, str]:
    return {
        "BITBUCKET_BUILD_NUMBER": "3",
        "BITBUCKET_PR_ID": "7",
        "BITBUCKET_PR_DESTINATION_BRANCH": "main",
        "BITBUCKET_REPO_FULL_NAME": "acme/shop",
        "BITBUCKET_API_URL": server.url,
        "BITBUCKET_TOKEN": TOKEN,
    }


def of_gitlab(part: str) -> Iterator[str]:
    said = yaml.safe_load((DEPLOY / "gitlab-ci.yml").read_text())
    jobs = {
        "change": ("dbt lint", "dbt build"),
        "night": ("dbt merge", "dbt daily", "dbt cleanup"),
    }
    yield from said["default"]["before_script"]
    for name in jobs[part]:
        yield from said[name]["script"]


def of_bitbucket(part: str) -> Iterator[str]:
    said = yaml.safe_load((DEPLOY / "bitbucket-pipelines.yml").read_text())["pipelines"]
    steps = said["pull-requests"]["**"]
    if part == "night":
        steps = [*said["branches"]["main"], *said["custom"]["nightly"]]
    for step in steps:
        yield from step["step"]["script"]
