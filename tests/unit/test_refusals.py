"""What dbt would refuse is refused before anything is started, in one sentence."""

import json
import math
import subprocess
import sys

import pytest

from dbtorch.adapters.dbt.dbtorch_worker import reported_args
from dbtorch.adapters.dbt.dbtorch_worker.missing_adapter import missing, missing_adapter
from dbtorch.adapters.dbt.manifest import decode_manifest
from dbtorch.adapters.dbt.process.dbt_cli.event_lines import LogMessage
from dbtorch.adapters.dbt.process.dbt_cli.executable import Answer
from dbtorch.adapters.dbt.process.operations.hooks import HookCode
from dbtorch.adapters.dbt.process.operations.overlay_project import OverlayProject
from dbtorch.adapters.dbt.session.answers import hook_outcome
from dbtorch.adapters.install_command import install_command
from dbtorch.core.config import Config, EngineSpec
from dbtorch.core.errors import UsageError
from dbtorch.service.doctor.debug import Question
from dbtorch.service.doctor.finding import Finding
from dbtorch.service.project.profiles import profiles_args, profiles_files
from dbtorch.service.project.project import Project, find_project_dir
from dbtorch.service.project.refusals import refuse


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "profiles.yml").write_text("shop: {}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("args", "environ", "why"),
    [
        (("--vars", "x: ["), {}, "--vars cannot be read as YAML"),
        (("--vars", "[1]"), {}, "--vars has no names in it"),
        (("--vars", "x"), {}, "--vars has no names in it"),
        (("--defer",), {}, "--defer needs a state to defer to"),
        ((), {"DBT_DEFER": "1"}, "DBT_DEFER needs a state to defer to"),
    ],
)
def test_what_cannot_work_is_refused(folder, args, environ, why):
    with pytest.raises(UsageError, match=why) as raised:
        refuse(args, environ, [folder / "profiles.yml"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("args", "environ"),
    [
        (("--vars", "{x: .nan, y: !!str 1}"), {}),
        (("--vars", ""), {}),
        (("--defer", "--state", "old"), {}),
        (("--defer", "--defer-state", "old"), {}),
        (("--defer",), {"DBT_STATE": "old"}),
        (("--no-defer",), {"DBT_DEFER": "1"}),
        ((), {"DBT_DEFER": "0"}),
    ],
)
def test_what_can_is_not(folder, args, environ):
    refuse(args, environ, [folder / "profiles.yml"])


def a_project(folder, **engine):
    config = Config(engine=EngineSpec(**engine))
    return Project(dir=folder / "shop", name="shop", config=config)


def test_where_profiles_are_looked_for_is_said(tmp_path):
    files = profiles_files(a_project(tmp_path), (), {}, tmp_path)
    assert [file.parent for file in files[:2]] == [tmp_path, tmp_path / "shop"]
    with pytest.raises(UsageError, match=r"no profiles\.yml in .* or .*\.dbt; .*--profiles-dir"):
        refuse((), {}, [tmp_path / "profiles.yml", tmp_path / ".dbt" / "profiles.yml"])


@pytest.mark.parametrize(
    ("words", "environ", "engine", "where"),
    [
        (("--profiles-dir", "here"), {"DBT_PROFILES_DIR": "/x"}, {}, "here"),  # what is typed wins
        ((), {"DBT_PROFILES_DIR": "there"}, {"profiles_dir": "own"}, "there"),
        ((), {"DBT_PROFILES_DIR": ""}, {"profiles_dir": "own"}, "shop/own"),
    ],
)
def test_whoever_names_the_folder_of_profiles_is_heard(tmp_path, words, environ, engine, where):
    (tmp_path / "shop" / "own").mkdir(parents=True)
    project = a_project(tmp_path, **engine)
    files = profiles_files(project, words, environ, tmp_path)
    assert files == (tmp_path / where / "profiles.yml",)
    ours = ["--profiles-dir", str(tmp_path / where)] if where == "shop/own" else []
    assert profiles_args(project, words, environ, tmp_path) == ours


def test_dbt_is_told_of_profiles_in_the_project_it_would_not_find(tmp_path):
    project = a_project(tmp_path)
    project.dir.mkdir()
    assert profiles_args(project, (), {}, tmp_path) == []
    (project.dir / "profiles.yml").touch()
    assert profiles_args(project, (), {}, tmp_path) == ["--profiles-dir", str(project.dir)]
    assert profiles_args(project, (), {}, project.dir) == []
    (tmp_path / "profiles.yml").touch()
    assert profiles_args(project, (), {}, tmp_path) == []


def test_a_folder_of_profiles_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"engine\.profiles_dir: there is no folder"):
        profiles_args(a_project(tmp_path, profiles_dir="gone"), (), {}, tmp_path)


def test_profiles_that_are_a_list_are_none(folder):
    (folder / "profiles.yml").write_text("- shop\n")
    with pytest.raises(UsageError, match=r"profiles\.yml has no profiles in it"):
        refuse((), {}, [folder / "profiles.yml"])


def test_a_project_is_found_from_its_folders(tmp_path, monkeypatch):
    (tmp_path / "dbt_project.yml").touch()
    below = tmp_path / "models" / "marts"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_project_dir(None, {}) == tmp_path
    with pytest.raises(UsageError, match="no dbt project"):  # who names one means that one
        find_project_dir(".", {})


def test_an_adapter_that_is_missing_is_named_with_how_to_install_it():
    try:
        try:
            raise ModuleNotFoundError("no", name="dbt.adapters.postgres")
        except ModuleNotFoundError:
            raise RuntimeError("Could not find adapter type postgres!") from None
    except RuntimeError as error:
        found = missing_adapter(error)
    assert found == "postgres"
    assert missing_adapter(ModuleNotFoundError("no", name="dbt.other")) == ""
    assert missing("postgres").endswith("dbt-postgres")
    assert sys.executable in missing("postgres")


@pytest.mark.parametrize(
    ("python", "install"),
    [
        (sys.executable, install_command(sys.executable, ["dbt-oracle"])),
        ("", "pip install dbt-oracle"),  # behind a script nobody knows whose it is
    ],
)
def test_so_it_is_where_dbt_only_says_that_it_is_missing(python, install):
    said = "Runtime Error\n  Could not find adapter type oracle!"
    line = LogMessage(unique_id=None, level="error", text=said)
    missing = "profiles.yml asks for the adapter oracle, which is not installed beside dbt"
    assert Answer(code=2, lines=(line,), python=python).errors() == f"{missing}; {install}"
    words = [sys.executable, "-S", "-c", f"print({said!r}); exit(1)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as dbt:
        (found,) = Question(process=dbt, asks_patches=False, python=python).findings()
    assert found == Finding("connection", ok=False, found=missing, advice=install)


def test_a_failed_hook_says_why_in_its_first_line():
    text = "t.on-run-start.0 failed, error:\n  Catalog Error: no table x"
    failed = hook_outcome({"status": "error", "message": text})
    assert failed.message == "t.on-run-start.0 failed, error: Catalog Error: no table x"
    passed = hook_outcome({"status": "success", "message": "t.on-run-start.0 passed"})
    assert passed.message == "t.on-run-start.0 passed"


def test_numbers_that_are_no_json_do_not_spoil_a_manifest():
    node = {"unique_id": "model.p.a", "name": "a", "resource_type": "model"}
    node |= {"package_name": "p", "original_file_path": "a.sql"}
    node["meta"] = {"x": math.nan, "y": [math.inf], "z": 1}
    content = json.dumps({"nodes": {"model.p.a": node}}).encode()
    (found,) = decode_manifest(content).nodes
    assert found.meta == {"x": None, "y": [None], "z": 1}


def test_dbt_is_said_to_be_called_as_somebody_would_call_it(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["-c", "5"])
    monkeypatch.setattr(reported_args, "scrub", lambda text: text.replace("hush", "*****"))
    reported_args.call_it(("--select", "a", "--select", "b", "--vars", "{x: hush}"))
    assert sys.argv == ["dbt", "build", "--select", "a", "b", "--vars", "{x: *****}"]


@pytest.mark.parametrize(
    "where", ["vendor/dbt_packages", "/{absolute}", "{{{{ env_var('HERE') }}}}"]
)
def test_hooks_of_packages_are_found_wherever_those_are_installed(tmp_path, where):
    where = where.format(absolute=str(tmp_path / "apart").lstrip("/"))
    project = tmp_path / "shop"
    folder = project / {"{": "somewhere/else"}.get(where[0], where)
    project.mkdir()
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "dbt_project.yml").write_text("name: tools\n")
    (project / "dbt_project.yml").write_text(
        f'name: shop\npackages-install-path: "{where}"\non-run-end: [select 1]\n'
    )
    hook = HookCode(
        id="operation.tools.x", package="tools", side="on-run-end", place=0, text="select 1"
    )
    before = sorted(tmp_path.rglob("*"))
    made = OverlayProject(tmp_path / "shadow", project, [hook], {"HERE": "somewhere/else"}).dir
    text = (made / "dbt_project.yml").read_text()
    assert "packages-install-path: dbtorch_packages" in text
    assert (
        "dbtorch_on_run_end_0"
        in (made / "dbtorch_packages" / "tools" / "dbtorch_hooks" / "hooks.sql").read_text()
    )
    assert [
        path for path in sorted(tmp_path.rglob("*")) if made not in (path, *path.parents)
    ] == before
