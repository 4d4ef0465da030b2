"""What dbt writes is read once for each time that it is written."""

import os
import threading

import pytest

from dbtorch.adapters.dbt.process.expected import Expected, manifest_digest
from dbtorch.adapters.dbt.process.written import Written
from tests.unit.test_process_expected import MODEL, write


def test_a_file_is_read_again_when_it_was_written_again(tmp_path):
    path, reads = tmp_path / "file", []
    written = Written(lambda path: reads.append(path) or path.read_text())
    path.write_text("one")
    assert (written.of(path), written.of(path)) == ("one", "one")
    path.write_text("other")
    assert written.of(path) == "other"
    draft = tmp_path / "draft"
    draft.write_text("third")
    os.utime(draft, ns=(path.stat().st_mtime_ns,) * 2)
    draft.replace(path)  # same size, same time
    assert written.of(path) == "third"
    assert len(reads) == 3


def test_what_cannot_be_read_is_tried_again(tmp_path):
    written = Written(lambda path: path.read_text())
    with pytest.raises(FileNotFoundError):
        written.of(tmp_path / "file")
    (tmp_path / "file").write_text("here")
    assert written.of(tmp_path / "file") == "here"


def test_a_manifest_is_read_as_soon_as_it_is_whole(tmp_path, monkeypatch):
    path = write(tmp_path / "manifest.json", MODEL)
    expected, over = Expected(manifest_digest(path), path), threading.Event()
    whole = path.read_text()
    path.write_text(whole[:-5])  # dbt is still writing
    looked = threading.Semaphore(0)

    def is_over() -> bool:
        looked.release()
        return over.is_set()

    thread = threading.Thread(target=expected.read_early, args=(path, is_over))
    thread.start()
    for _ in range(3):  # so it has read it twice by then
        assert looked.acquire(timeout=30)
    assert expected.is_met(path) is False
    path.write_text(whole)
    thread.join(30)
    assert not thread.is_alive()
    monkeypatch.setattr(type(path), "read_bytes", None)  # nobody reads it a second time
    assert expected.is_met(path) is True


def test_who_waits_for_a_manifest_ends_with_dbt(tmp_path):
    path, over = write(tmp_path / "manifest.json", MODEL), threading.Event()
    expected = Expected(manifest_digest(path), path)
    thread = threading.Thread(target=expected.read_early, args=(path, over.is_set))
    thread.start()
    over.set()
    thread.join(30)
    assert not thread.is_alive()
    assert expected.is_met(path) is None
