"""Files of a run go where every machine can read them, and hold nobody up."""

import threading
from pathlib import Path

import pytest

from dbtorch.app import uploads as module
from dbtorch.app.uploads import Uploads
from dbtorch.ports.artifacts import ArtifactsError
from dbtorch.testing import MemoryArtifacts
from tests.waiting import PATIENCE, wait_for


class Watched(MemoryArtifacts):
    """Notes who asks for what, and hangs when it is told to."""

    def __init__(self):
        super().__init__()
        self.asked: list[str] = []
        self.listed = 0
        self.let_go = threading.Event()
        self.let_go.set()

    def put(self, run_id, name, chunks):
        self.asked.append(name)
        self.let_go.wait(PATIENCE)
        super().put(run_id, name, chunks)

    def sizes(self, run_id):
        self.listed += 1
        return super().sizes(run_id)


@pytest.fixture
def artifacts():
    found = Watched()
    yield found
    found.let_go.set()


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def uploads(artifacts, warnings, monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.01)
    made = Uploads(artifacts, "r1", read=lambda path: [path.read_bytes()], warn=warnings.append)
    yield made
    artifacts.let_go.set()
    made.finish(0)
    for thread in made._threads:
        thread.join()


def a_file(folder: Path, name: str, text: str = "text") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_what_is_added_is_uploaded_behind_the_back_of_who_adds_it(uploads, artifacts, tmp_path):
    artifacts.let_go.clear()
    for name in ("a.log", "b.log"):
        uploads.add(f"nodes/{name}", a_file(tmp_path, name, name))
    assert not uploads.has("nodes/a.log")
    artifacts.let_go.set()
    done = uploads.finish(PATIENCE)
    assert artifacts.files == {"r1": {"nodes/a.log": b"a.log", "nodes/b.log": b"b.log"}}
    assert (done.files, done.left, done.error) == (2, 0, "")
    assert done.url == "memory://runs/acme_shop/r1"
    assert uploads.has("nodes/a.log")


def test_a_file_goes_again_only_where_it_is_another_one(uploads, artifacts, tmp_path):
    path = a_file(tmp_path, "a.log")
    uploads.add("a.log", path)
    wait_for(lambda: uploads.has("a.log"))
    uploads.add("a.log", path)
    a_file(tmp_path, "a.log", "text, and more of it")
    uploads.add("a.log", path)
    uploads.finish(PATIENCE)
    assert artifacts.asked == ["a.log"] * 2
    assert artifacts.files["r1"]["a.log"] == b"text, and more of it"


def test_a_log_that_nobody_wrote_is_no_failure(uploads, warnings, tmp_path):
    uploads.add("a.log", tmp_path / "none")
    done = uploads.finish(PATIENCE)
    assert (done.files, done.left, warnings) == (0, 0, [])


def test_what_an_earlier_execution_has_uploaded_is_left_alone(uploads, artifacts, tmp_path):
    MemoryArtifacts.put(artifacts, "r1", "old.log", [b"text"])
    MemoryArtifacts.put(artifacts, "r1", "cut.log", [b"te"])
    for name in ("old.log", "cut.log", "new.log"):
        uploads.add(name, a_file(tmp_path, name), unless_there=True)
    done = uploads.finish(PATIENCE)
    assert artifacts.asked == ["cut.log", "new.log"]
    assert (done.left, artifacts.listed) == (0, 1)
    assert artifacts.files["r1"]["cut.log"] == b"text"


def test_a_place_that_is_down_is_told_of_once_and_has_everything_when_it_is_back(
    uploads, artifacts, warnings, tmp_path
):
    artifacts.down = "no route to it"
    for number in range(5):
        uploads.add(f"{number}.log", a_file(tmp_path, f"{number}.log"))
    wait_for(lambda: len(artifacts.asked) >= 6)
    assert len(warnings) == 1
    assert "memory://runs/acme_shop/r1 (memory://runs/acme_shop: no route to it)" in warnings[0]
    artifacts.down = ""
    done = uploads.finish(PATIENCE)
    assert (done.files, done.left) == (5, 0)
    assert len(warnings) == 1


def test_the_end_of_a_run_gives_up_on_a_place_that_stays_down(
    uploads, artifacts, warnings, tmp_path
):
    artifacts.let_go.clear()
    uploads.add("a.log", a_file(tmp_path, "a.log"))
    uploads.add("b.log", a_file(tmp_path, "b.log"))
    artifacts.down = "no route to it"
    artifacts.let_go.set()
    done = uploads.finish(PATIENCE)  # which would be a failure of its own
    assert (done.files, done.left) == (0, 2)
    assert len(warnings) == 1
    assert done.error in warnings[0]
    asked = len(artifacts.asked)
    uploads.add("c.log", a_file(tmp_path, "c.log"))
    assert uploads.finish(0).left == 2
    assert len(artifacts.asked) == asked


def test_a_place_that_hangs_is_left_behind(uploads, artifacts, warnings, tmp_path):
    artifacts.let_go.clear()
    uploads.add("a.log", a_file(tmp_path, "a.log"))
    wait_for(lambda: artifacts.asked)
    done = uploads.finish(0.05)
    assert (done.files, done.left) == (0, 1)
    assert warnings == [
        "1 of 1 files of the run are not at memory://runs/acme_shop/r1: there was no more time"
    ]


def test_whatever_a_place_raises_ends_in_a_sentence(artifacts, warnings, tmp_path):
    def read(_path: Path) -> list[bytes]:
        raise ZeroDivisionError

    uploads = Uploads(artifacts, "r1", read=read, warn=warnings.append)
    uploads.add("a.log", a_file(tmp_path, "a.log"))
    assert uploads.finish(PATIENCE).error == "ZeroDivisionError"
    for thread in uploads._threads:
        thread.join()
    with pytest.raises(ArtifactsError):
        artifacts.get("r1", "a.log", tmp_path / "got")


def test_who_is_in_a_hurry_all_of_a_sudden_is_heard(uploads, artifacts, tmp_path):
    artifacts.let_go.clear()
    uploads.add("a.log", a_file(tmp_path, "a.log"))
    wait_for(lambda: artifacts.asked)
    said = iter([None, None, 0.0])
    assert uploads.finish(PATIENCE * 10, lambda: next(said)).left == 1  # where it would time out


def test_several_that_fail_at_the_same_time_have_failed_once(
    artifacts, warnings, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "_WAIT", PATIENCE * 10)  # nothing is tried again by itself
    artifacts.parallel = 4
    artifacts.let_go.clear()
    uploads = Uploads(artifacts, "r1", read=lambda path: [path.read_bytes()], warn=warnings.append)
    for number, name in enumerate("abcd", 1):
        uploads.add(name, a_file(tmp_path, name))
        wait_for(lambda number=number: len(artifacts.asked) == number)
    artifacts.down = "no route to it"
    artifacts.let_go.set()
    wait_for(lambda: len(uploads._waiting) == 4)
    assert (uploads._failures, warnings) == (1, [])
    artifacts.down = ""
    assert uploads.finish(PATIENCE).left == 0
    for thread in uploads._threads:
        thread.join()
