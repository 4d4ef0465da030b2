"""Looks at real files: that appear whole, in pieces, are moved away, and at a URL."""

import os
import time

import pytest

from dbtorch.adapters.conditions.files import MOST, FileLooks
from dbtorch.adapters.conditions.unknown import Unknown


class Folder:
    """A folder on a clock that is set; files carry its times."""

    def __init__(self, path):
        self.path, self.now = path, float(int(time.time()))
        self.looks = FileLooks(base=path, clock=lambda: self.now)

    def write(self, name, text="", *, age=0.0):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as out:
            out.write(text)
        os.utime(file, (self.now - age, self.now - age))

    def see(self, what="in/*.csv", *, stable=10.0, marker="", passes=0.0):
        self.now += passes
        return self.looks.look(what, stable=stable, marker=marker)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_file_counts_when_it_has_not_changed_for_a_while(folder):
    assert folder.see().words == ""
    folder.write("in/a.csv", "1")
    first = folder.see()
    assert (first.words, len(first.pending.split())) == ("", 1)
    assert folder.see(passes=9).words == ""
    folder.write("in/a.csv", "2")  # another piece
    assert folder.see(passes=2).words == ""
    assert folder.see(passes=7).words == ""
    settled = folder.see(passes=1)
    assert len(settled.words.split()) == 1
    assert settled.text == "file in/a.csv"
    assert settled.words not in first.pending


def test_one_that_is_written_again_and_again_keeps_no_other_waiting(folder):
    folder.write("in/whole.csv", "1")
    for _ in range(5):
        folder.write("in/log.csv", "1")
        found = folder.see(passes=6)
    assert (len(found.words.split()), len(found.pending.split())) == (1, 1)
    assert found.text == "file in/whole.csv"


def test_an_old_file_counts_at_once_whoever_looks(folder):
    folder.write("in/a.csv", age=60)
    assert len(folder.see().words.split()) == 1


def test_a_file_from_the_future_counts_after_a_while(folder):
    folder.write("in/a.csv", age=-3600)  # the clock of another machine
    assert folder.see().words == ""
    assert len(folder.see(passes=10).words.split()) == 1


def test_a_marker_says_that_all_are_whole(folder):
    folder.write("in/a.csv", "1")
    assert folder.see(marker="_SUCCESS").words == ""
    folder.write("in/_SUCCESS")
    found = folder.see(marker="_SUCCESS")
    assert found.words
    assert found.text == "file in/_SUCCESS"
    folder.now += 5
    folder.write("in/_SUCCESS")
    assert folder.see(marker="_SUCCESS").words not in ("", found.words)


def test_a_folder_is_all_that_is_below_it(folder):
    folder.write("in/2026/11/a.csv", age=60)
    folder.write("other/b.csv", age=60)
    assert folder.see("in/").text == "file in/2026/11/a.csv"
    assert folder.see("nowhere/").words == ""
    assert folder.see("in/2026/11/a.csv").words == folder.see("in/").words


def test_what_is_not_there_or_is_too_much_is_told(folder):
    for number in range(MOST + 1):
        (folder.path / f"{number}.csv").touch()
    with pytest.raises(Unknown, match="matches more than 1,000 files: use a narrower pattern"):
        folder.see("*.csv")


def test_a_url_is_looked_at_by_fsspec(tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/landing/orders/a.csv", b"1")
    looks = FileLooks(base=tmp_path)
    one = looks.look("memory://landing/orders/", stable=0)
    assert len(one.words.split()) == 1
    assert looks.look("memory://landing/*/a.csv", stable=0).words == one.words
    assert looks.look("memory://landing/orders/b.csv", stable=0).words == ""
    files.pipe("/landing/orders/a.csv", b"12")
    assert looks.look("memory://landing/orders/", stable=0).words not in ("", one.words)
    assert looks.look("memory://landing/orders/", stable=60).words == ""
    files.rm("/landing", recursive=True)
    assert looks.look("memory://landing/orders/", stable=0).words == ""


def test_a_url_that_cannot_be_asked_says_so_without_its_password(tmp_path):
    looks = FileLooks(base=tmp_path)
    with pytest.raises(Unknown) as caught:
        looks.look("nosuch://user:geheim123@host/a", stable=0)
    assert "nosuch" in str(caught.value)
    assert "geheim123" not in str(caught.value)
