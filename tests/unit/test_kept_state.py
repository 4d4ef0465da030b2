"""A state that a run is compared with is of another environment, which goes on; a copy is kept."""

import stat
from dataclasses import dataclass

import pytest

from dbtorch.adapters.run_files import RunFiles
from dbtorch.core.errors import UsageError
from dbtorch.service.resume.kept_state import keep_state, selects_by_state, with_kept_state
from dbtorch.service.resume.request import _refuse_another_state
from tests.stores import a_run


@pytest.fixture
def project(tmp_path):
    state = tmp_path / "shop" / "old"
    state.mkdir(parents=True)
    for name in ("manifest.json", "run_results.json", "other.json"):
        (state / name).write_text(f"{name} of then")
    return tmp_path / "shop"


@pytest.fixture
def files(tmp_path):
    return RunFiles(tmp_path / ".dbtorch", "r1")


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (("--select", "state:modified", "--state", "old"), {}),
        (("--select", "state:modified"), {"DBT_STATE": "old"}),
        (("--select", "state:modified"), {"DBT_ENGINE_STATE": "old"}),
        (("--state", "old", "--select", "state:modified"), {"DBT_STATE": "another"}),
    ],
)
def test_a_retry_has_the_state_that_the_run_began_with(project, files, words, environ):
    keep_state(words, environ, project, files)
    for path in (project / "old").iterdir():
        path.write_text("of now")
    *kept, option, folder = with_kept_state(words, environ, files)
    assert (kept, option) == (["--select", "state:modified"], "--state")
    found = {path.name: path.read_text() for path in files.root.glob("private/state/*")}
    assert found == {
        "manifest.json": "manifest.json of then",
        "run_results.json": "run_results.json of then",
    }
    assert folder == str((files.root / "private" / "state").resolve())
    assert stat.S_IMODE((files.root / "private" / "state").stat().st_mode) == 0o700


def test_a_state_to_defer_to_is_kept_by_itself(project, files):
    keep_state(("--defer", "--defer-state", str(project / "old")), {}, project / "x", files)
    words = with_kept_state(("--defer", "--defer-state", "gone"), {}, files)
    assert words == (
        "--defer",
        "--defer-state",
        str((files.root / "private/defer-state").resolve()),
    )


@pytest.mark.parametrize("words", [("--threads", "2"), ("--state", "nowhere")])
def test_where_there_is_none_nothing_changes(project, files, words):
    keep_state(words, {}, project, files)
    assert not files.root.exists()
    assert with_kept_state(words, {}, files) == words


def test_one_that_cannot_be_kept_stops_no_run(project, files, caplog):
    files.root.mkdir(parents=True)
    (files.root / "private").touch()
    keep_state(("--state", "old"), {}, project, files)
    assert "the state in old is not kept for a retry" in caplog.text


@dataclass
class Found:
    """What is known of a run and of the project: ids."""

    gone: tuple[str, ...] = ()
    nodes: tuple["Found", ...] = ()
    id: str = ""


@pytest.mark.parametrize(
    ("options", "there", "refused"),
    [
        ({"dbt_args": ["--state", "old"]}, True, True),
        ({"dbt_args": [], "environ": {"DBT_STATE": "old"}}, True, True),
        ({"dbt_args": ["--state", "old"]}, False, False),  # somebody has deleted it
        ({"dbt_args": ["--select", "tag:daily"]}, True, False),  # and has no tag any more
    ],
)
def test_what_another_state_leaves_out_is_not_over(options, there, refused):
    """Where the copy is on another machine."""
    assert selects_by_state(options) is ("old" in str(options))
    opened = type("Opened", (), {"selected": Found(nodes=(Found(id="model.shop.a"),) * there)})
    run, resumed = a_run(options=options), Found(gone=("model.shop.a",))
    if not refused:
        _refuse_another_state(run, resumed, opened)
        return
    with pytest.raises(UsageError, match=r"is not over for model\.shop\.a, which the state"):
        _refuse_another_state(run, resumed, opened)
